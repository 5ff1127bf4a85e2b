"""Tables 1 and 9 as a whole: rows, table, resuming, strips."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil

import pytest
import torch
from natural_images import folder, save_pairs, save_pictures

from ldct_clipdn.bench.experiment import RunSettings
from ldct_clipdn.bench.methods import from_callable, make_method
from ldct_clipdn.bench.picture_tables import run_synthetic
from ldct_clipdn.bench.sets import image_set, pair_set
from ldct_clipdn.core.noise import Noise
from ldct_clipdn.errors import ConfigError, DataError

CPU = torch.device("cpu")
NOISES = [Noise("gaussian", 50), Noise("salt_pepper", 0.02)]


class Counting:
    """Halves the contrast and counts the pictures it saw."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, noisy: torch.Tensor) -> torch.Tensor:
        self.seen += len(noisy)
        return 0.5 * noisy + 0.25


@pytest.mark.data
def test_a_real_picture_scores_what_the_protocol_says(tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(folder("natural/CBSD68") / "101085.png", tmp_path / "one")
    table = run_synthetic(
        [image_set(tmp_path / "one")], [make_method("noisy", CPU)], tmp_path / "out",
        RunSettings(CPU), noises=NOISES,
    )  # fmt: skip
    expected = {"gaussian:50": (15.1027, 0.27938), "salt_pepper:0.02": (21.9104, 0.7637)}
    for label, (psnr, ssim) in expected.items():
        cell = table.measured[label, "one"]["noisy"]
        assert cell.psnr == pytest.approx(psnr, abs=6e-5)
        assert cell.ssim == pytest.approx(ssim, abs=6e-6)


def test_table_holds_means_and_the_printed_figures(tmp_path):
    one = image_set(save_pictures(tmp_path / "McM", 3))
    methods = [make_method("noisy", CPU), from_callable("mine", Counting(), counterpart="DIL")]
    table = run_synthetic([one], methods, tmp_path / "out", RunSettings(CPU), noises=NOISES)
    place = ("gaussian:50", "McMaster")
    rows = list(csv.DictReader((tmp_path / "out/scores.csv").read_text().splitlines()))
    of_place = [
        float(r["psnr"]) for r in rows if (r["condition"], r["method"]) == (place[0], "mine")
    ]
    assert len(rows) == 12
    assert table.measured[place]["mine"].psnr == pytest.approx(sum(of_place) / 3)
    line = next(
        text for text in (tmp_path / "out/table.md").read_text().splitlines()
        if text.startswith("| gaussian:50 | McMaster")
    )  # fmt: skip
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2] == "3 of 18"
    assert cells[-2] == "27.43/0.727"
    difference = table.measured[place]["mine"].psnr - 26.61
    assert cells[-1].startswith(f"{difference:+.2f}/")
    by_source = list(csv.DictReader((tmp_path / "out/table.csv").read_text().splitlines()))
    assert {row["source"] for row in by_source} == {"measured", "paper"}


def test_part_of_a_set_is_said_to_be_no_such_set(tmp_path):
    kodak = save_pictures(tmp_path / "Kodak24", 3)
    out, noises = tmp_path / "out", NOISES[:1]
    methods = [make_method("noisy", CPU), from_callable("mine", Counting())]
    run_synthetic([image_set(kodak, limit=1)], methods, out, RunSettings(CPU), noises=noises)
    table = run_synthetic(
        [image_set(kodak, limit=2)], methods[1:], out, RunSettings(CPU), noises=noises, resume=True
    )
    text = table.to_markdown()
    assert "| gaussian:50 | Kodak24 | 1 to 2 of 24 |" in text
    assert "Kodak24: 2 of 24 pictures; the printed figures are of all." in text
    whole = run_synthetic(
        [image_set(save_pictures(tmp_path / "McM", 18), crop=24)], methods[:1], tmp_path / "whole",
        RunSettings(CPU), noises=noises,
    )  # fmt: skip
    note = "McMaster (crop 24): the middle of 18 of 18 pictures; the printed figures are of all."
    assert note in whole.to_markdown()


def test_misprints_carry_a_dagger(tmp_path):
    one = image_set(save_pictures(tmp_path / "Kodak24", 1))
    table = run_synthetic(
        [one], [make_method("noisy", CPU)], tmp_path / "out", RunSettings(CPU),
        noises=[Noise("poisson", 3)],
    )  # fmt: skip
    assert "27.04/0.683†" in table.to_markdown()
    assert "† MaskedDenoising, Kodak24, poisson:3" in table.to_markdown()


def test_a_cut_off_run_goes_on_where_it_stopped(tmp_path):
    one = image_set(save_pictures(tmp_path / "set", 4))
    whole, first, second = Counting(), Counting(), Counting()
    out, straight = tmp_path / "out", tmp_path / "straight"
    run_synthetic([one], [from_callable("m", whole)], straight, RunSettings(CPU), noises=NOISES)

    def stop(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_synthetic(
            [one], [from_callable("m", first)], out, RunSettings(CPU, batch_size=1),
            noises=NOISES, progress=stop,
        )  # fmt: skip
    with (out / "scores.csv").open("a") as file:
        file.write("set,gaussian:50,m,p3,,12.")  # the line that was being written
    with pytest.raises(ConfigError, match="--resume"):
        run_synthetic([one], [from_callable("m", second)], out, RunSettings(CPU), noises=NOISES)
    table = run_synthetic(
        [one], [from_callable("m", second)], out, RunSettings(CPU), noises=NOISES, resume=True
    )
    assert (whole.seen, first.seen, second.seen) == (8, 3, 5)
    assert table.to_markdown() == (straight / "table.md").read_text()
    assert len(list(csv.DictReader((out / "scores.csv").read_text().splitlines()))) == 8


def test_results_of_other_settings_are_not_mixed(tmp_path):
    one = image_set(save_pictures(tmp_path / "set", 1))
    run_synthetic(
        [one], [make_method("tv:0.1", CPU)], tmp_path / "out", RunSettings(CPU), noises=NOISES
    )
    with pytest.raises(ConfigError, match="other settings of TV"):
        run_synthetic(
            [one], [make_method("tv:0.2", CPU)], tmp_path / "out", RunSettings(CPU),
            noises=NOISES, resume=True,
        )  # fmt: skip
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["settings"] == {"TV": {"strength": 0.1}}
    assert record["seed"] == 0
    content = (tmp_path / "set/p0.png").read_bytes()
    assert record["sets"] == {"set": {"p0": hashlib.sha256(content).hexdigest()}}


def test_pictures_of_another_set_of_that_name_are_not_mixed_in(tmp_path):
    first, other = save_pictures(tmp_path / "Kodak24", 2), save_pictures(tmp_path / "b/Kodak", 3)
    out, methods = tmp_path / "out", [make_method("noisy", CPU)]

    def run(folder, limit=None):
        sets = [image_set(folder, limit=limit)]
        return run_synthetic(sets, methods, out, RunSettings(CPU), noises=NOISES[:1], resume=True)

    run(first, limit=1)
    run(first)
    run(other)  # those two, and one more: the whole of what was begun
    run(first, limit=1)
    (other / "p2.png").unlink()
    (other / "p1.png").write_bytes((other / "p0.png").read_bytes())
    with pytest.raises(ConfigError, match=r"run\.json: .*other pictures of Kodak24"):
        run(other)
    (other / "p1.png").rename(other / "q1.png")
    with pytest.raises(ConfigError, match="other pictures of Kodak24"):
        run(other)
    run(save_pictures(tmp_path / "elsewhere", 1))


def test_pairs_are_known_by_both_halves(tmp_path):
    folder = save_pairs(tmp_path / "CC", 1)
    before = pair_set(folder).contents()
    (folder / "0_real.png").write_bytes((folder / "0_mean.png").read_bytes())
    assert pair_set(folder).contents().keys() == before.keys()
    assert pair_set(folder).contents() != before


def test_another_law_of_noise_is_another_row(tmp_path):
    one, method = image_set(save_pictures(tmp_path / "set", 1)), make_method("noisy", CPU)
    noises = [Noise("speckle", 0.04), Noise("speckle", 0.04, "gaussian", eight_bit=True)]
    for count in (1, 2):
        table = run_synthetic(
            [one], [method], tmp_path / "out", RunSettings(CPU), noises=noises[:count], resume=True
        )
    uniform, gaussian = (table.measured[noise.label, "set"]["noisy"] for noise in noises)
    assert gaussian.psnr != uniform.psnr


class Scaling(torch.nn.Module):
    """Multiplies by its weight, and by a number that no state holds."""

    def __init__(self, weight: float, factor: float = 1.0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(weight))
        self.factor = factor

    def extra_repr(self) -> str:
        return str(self.factor)

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        return noisy * self.weight * self.factor


def test_another_network_of_that_name_is_not_resumed(tmp_path):
    one = image_set(save_pictures(tmp_path / "set", 1))

    def run(denoise):
        run_synthetic(
            [one], [from_callable("mine", denoise)], tmp_path / "out", RunSettings(CPU),
            noises=NOISES[:1], resume=True,
        )  # fmt: skip

    run(Scaling(0.5))
    run(Scaling(0.5))
    for other in (Scaling(0.6), Scaling(0.5, 0.9), torch.nn.Identity(), Counting(), lambda x: x):
        with pytest.raises(ConfigError, match="other settings of mine"):
            run(other)


def test_every_call_is_recorded_beside_those_before(tmp_path):
    one, out = image_set(save_pictures(tmp_path / "set", 1)), tmp_path / "out"

    def run(name):
        methods = [make_method(name, CPU)]
        run_synthetic([one], methods, out, RunSettings(CPU), noises=NOISES[:1], resume=True)
        return json.loads((out / "run.json").read_text())

    record = run("noisy")
    record["calls"][0]["device"] = "a GPU"
    (out / "run.json").write_text(json.dumps(record))
    first, second = run("tv:0.1")["calls"]
    assert (first["device"], first["methods"]) == ("a GPU", ["noisy"])
    assert (second["methods"], second["sets"]) == (["TV"], ["set"])
    assert {"torch", "numpy", "ldct_clipdn", "python"} <= set(second["versions"])
    assert second["time"] >= first["time"]
    # as they were written before the calls and the pictures were kept
    old = {"settings": {"noisy": {}}, "versions": {"torch": "1.0"}, "device": "an old GPU"}
    (out / "run.json").write_text(json.dumps(old))
    record = run("noisy")
    assert record["calls"][0] == {"versions": {"torch": "1.0"}, "device": "an old GPU"}
    assert "p0" in record["sets"]["set"]
    (out / "run.json").write_text("{")
    with pytest.raises(ConfigError, match="missing or damaged"):
        run("noisy")


def test_strips_are_pictures_with_scores(tmp_path):
    one = image_set(save_pictures(tmp_path / "set", 2))
    methods = [make_method("noisy", CPU), make_method("tv:0.2", CPU)]
    run_synthetic([one], methods, tmp_path / "out", RunSettings(CPU, strips=1), noises=NOISES[:1])
    from PIL import Image

    (strip,) = (tmp_path / "out/strips").iterdir()
    with Image.open(strip) as image:
        assert image.width > 2 * image.height  # three panels side by side


def test_names_must_differ(tmp_path):
    one = image_set(save_pictures(tmp_path / "set", 1))
    with pytest.raises(ConfigError, match="two methods have one name"):
        run_synthetic([one], [make_method("noisy", CPU)] * 2, tmp_path / "out", RunSettings(CPU))
    shutil.copy(tmp_path / "set/p0.png", tmp_path / "set/p0.bmp")
    with pytest.raises(DataError, match=r"two pictures are called p0, the other is .*/p0\.bmp"):
        image_set(tmp_path / "set")
