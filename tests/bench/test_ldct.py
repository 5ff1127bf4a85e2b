"""Table 3 on a made-up challenge."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ct_layouts import make_mayo

from ldct_clipdn.bench.experiment import RunSettings
from ldct_clipdn.bench.ldct import CTMethod, make_ct_method, run_ldct
from ldct_clipdn.bench.peers import build_peer
from ldct_clipdn.bench.strips import ct_panels
from ldct_clipdn.cli.main import main
from ldct_clipdn.core.denoiser import build_denoiser
from ldct_clipdn.core.metrics import RULERS
from ldct_clipdn.core.weights import save_denoiser
from ldct_clipdn.data.doses import match_doses
from ldct_clipdn.data.slices import find_slices, read_frames
from ldct_clipdn.errors import ConfigError, DataError, WeightsError

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def challenge(tmp_path_factory):
    root = tmp_path_factory.mktemp("mayo")
    for patient in ("L506", "L067"):
        for k, dose in enumerate(("full", "quarter")):
            make_mayo(root / f"{dose}_1mm" / patient, patient, dose, size=32, seed=k)
    return root


def test_low_dose_is_scored_by_both_rulers_beside_the_printed_figures(challenge, tmp_path):
    table = run_ldct(challenge, [make_ct_method("noisy", CPU)], tmp_path / "out", RunSettings(CPU))
    paper = next(ruler for ruler in RULERS if ruler.name == "paper")
    pairs = [p for p in match_doses(find_slices(challenge).slices).pairs if p.low.patient == "L506"]
    expected = [
        paper.score(next(read_frames(p.low.path)), next(read_frames(p.normal.path))) for p in pairs
    ]
    (place,) = (one for one in table.places if one[0] == "range 3072" and "L506" in one[1])
    cell = table.measured[place]["noisy"]
    assert cell.images == len(pairs) == 3
    assert cell.psnr == pytest.approx(np.mean([one.psnr for one in expected]))
    assert cell.ssim == pytest.approx(np.mean([one.ssim for one in expected]))
    stretched = table.measured["range 3096", place[1]]["noisy"]
    assert cell.psnr - stretched.psnr == pytest.approx(0.05, abs=0.02)
    assert [name for name, printed in table.published.items() if printed] == [
        place, ("range 3096", place[1])
    ]  # fmt: skip


def test_the_difference_is_given_where_the_slices_are_the_papers(tmp_path, monkeypatch):
    for dose in ("full", "quarter"):
        for kernel in ("B30f", "D45f"):
            make_mayo(tmp_path / "thin" / dose / kernel, "L506", dose, kernel=kernel, size=32)
        make_mayo(tmp_path / "thick" / dose, "L506", dose, thickness="3", size=32)
    method = CTMethod("ours", lambda hu: hu, {}, "CLIPDenoising")

    def run(root, limit=None):
        out = tempfile.mkdtemp(dir=tmp_path)
        return run_ldct(tmp_path / root, [method], Path(out), RunSettings(CPU), limit=limit)

    text = run("thin").to_markdown()
    assert "45.88/0.976" in text
    assert "ours - " not in text
    assert "L506 B30f 1 mm: 3 slices; the paper's are the 526 of 1 mm and kernel B30." in text
    monkeypatch.setattr("ldct_clipdn.bench.ldct.PAPER_SLICES", 3)
    table = run("thin")
    assert set(table.apart) == {"L506 D45f 1 mm"}
    lines = [one for one in table.to_markdown().splitlines() if one.startswith("| range 3072")]
    assert {one.split("|")[2].strip(): one.split("|")[-2].strip() != "" for one in lines} == {
        "L506 B30f 1 mm": True, "L506 D45f 1 mm": False
    }  # fmt: skip
    assert set(run("thin", limit=2).apart) == {"L506 B30f 1 mm", "L506 D45f 1 mm"}
    assert set(run("thick").apart) == {"L506 B30f 3 mm"}


def test_other_slices_under_the_same_names_are_not_resumed(tmp_path):
    methods = [make_ct_method("noisy", CPU)]

    def run(root):
        run_ldct(tmp_path / root, methods, tmp_path / "out", RunSettings(CPU), resume=True)

    for root, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_mayo(tmp_path / root / "full_1mm", "L506", "full", size=32, seed=7)
        make_mayo(tmp_path / root / "quarter_1mm", "L506", "quarter", size=32, seed=seed)
    run("a")
    run("a")
    with pytest.raises(ConfigError, match="other pictures of L506"):
        run("c")
    with pytest.raises(ConfigError, match="two methods have one name"):
        run_ldct(tmp_path / "a", methods * 2, tmp_path / "two", RunSettings(CPU))


def test_networks_and_filters_from_the_command_line(challenge, tmp_path, capsys):
    model = build_denoiser(encoder="tiny", start="identity")
    save_denoiser(model, tmp_path / "same.safetensors")
    arguments = ["benchmark", "ldct", str(challenge), "--patient", "L506", "--limit", "2",
                 "--method", "noisy", "--method", "tv:0.01", "--weights",
                 f"ours={tmp_path / 'same.safetensors'}", "--out", str(tmp_path / "out"),
                 "-q"]  # fmt: skip
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "45.88/0.976" in printed
    assert "| ruler | set | images |" in printed
    rows = list(csv.DictReader((tmp_path / "out/scores.csv").read_text().splitlines()))
    assert len(rows) == 2 * 3 * 2
    psnr = {method: [float(r["psnr"]) for r in rows if r["method"] == method]
            for method in ("noisy", "TV", "ours")}  # fmt: skip
    assert psnr["ours"] == pytest.approx(psnr["noisy"], abs=0.02)  # it passes the image through
    assert psnr["TV"] != pytest.approx(psnr["noisy"], abs=0.02)
    assert main([*arguments, "--resume"]) == 0
    assert len((tmp_path / "out/scores.csv").read_text().splitlines()) == 13


def test_strips_show_the_papers_window_with_scores(challenge, tmp_path):
    arguments = ["benchmark", "ldct", str(challenge), "--method", "noisy", "--method", "tv:0.01",
                 "--strips", "2", "--out", str(tmp_path / "out"), "-q"]  # fmt: skip
    assert main(arguments) == 0
    assert len(list((tmp_path / "out/strips").glob("L506*.png"))) == 2
    assert len(list((tmp_path / "out/strips").iterdir())) == 4  # two patients

    low = np.float32([[-200, -160], [40, 240]]).repeat(8, 0).repeat(8, 1)
    ruler = next(ruler for ruler in RULERS if ruler.name == "paper")
    panels = ct_panels(low, low + 10, {"noisy": lambda hu: hu, "same": lambda hu: hu + 10}, ruler)
    assert [panel.title for panel in panels] == ["low dose", "same", "normal dose"]
    assert panels[0].image[0, ::8, ::8].tolist() == [[0, 0], [0.5, 1]]
    assert panels[0].scores[0] == pytest.approx(20 * np.log10(4096 / 10))
    assert panels[1].scores == (np.inf, 1)
    assert panels[2].scores is None


def test_what_cannot_be_measured_is_refused(challenge, tmp_path):
    with pytest.raises(DataError, match=r"no pair .*L333.*L067, L506"):
        run_ldct(challenge, [], tmp_path / "out", RunSettings(CPU), patients=["L333"])
    with pytest.raises(ConfigError, match="no method 'bm3d' for CT"):
        make_ct_method("bm3d", CPU)
    save_denoiser(build_denoiser(encoder="tiny", in_channels=3), tmp_path / "rgb.safetensors")
    with pytest.raises(WeightsError, match="three channels"):
        make_ct_method(f"weights:{tmp_path / 'rgb.safetensors'}", CPU)


def test_a_network_sees_the_range_that_it_was_trained_on(tmp_path):
    model = build_denoiser(encoder="tiny", hu_range=(-160, 240)).eval()
    save_denoiser(model, tmp_path / "narrow.safetensors")
    hu = np.random.default_rng(0).uniform(-160, 240, (32, 32)).astype(np.float32)
    with torch.inference_mode():
        unit = model(torch.from_numpy((hu + 160) / 400)[None, None])[0, 0].numpy()
    result = make_ct_method(f"weights:{tmp_path / 'narrow.safetensors'}", CPU).denoise(hu)
    np.testing.assert_allclose(result, unit * 400 - 160, atol=0.01)


def test_a_trained_peer_is_a_method_too(tmp_path):
    peer = build_peer("dncnn", in_channels=1, width=8)
    path = tmp_path / "last.pt"
    torch.save({"network": peer.state_dict(), "config": peer.config.to_dict()}, path)
    method = make_ct_method(f"weights:mine={path}", CPU)
    assert (method.name, method.counterpart) == ("mine", "")
    assert method.settings["encoder"] == "none (dncnn, width 8)"
    hu = np.float32([[-1000, 40], [0, 3000]]).repeat(12, 0)
    np.testing.assert_allclose(method.denoise(hu), hu, atol=1e-3)  # it has not learnt anything yet


def test_what_is_no_slice_is_no_result(challenge, tmp_path):
    bad = CTMethod("bad", lambda hu: hu * np.float32("nan"), {})
    with pytest.raises(DataError, match=r"bad: the denoiser made NaN or infinity of L067_QD_1"):
        run_ldct(challenge, [bad], tmp_path / "out", RunSettings(torch.device("cpu")), limit=1)
    assert not (tmp_path / "out/table.md").exists()
