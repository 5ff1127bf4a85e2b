"""The worked example of docs/benchmarks.md, as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from natural_images import save_pictures

from ldct_clipdn.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_the_users_own_denoiser_joins_the_table(tmp_path, monkeypatch, capsys):
    example, second = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "mean3.py").write_text(example, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    save_pictures(tmp_path / "Kodak24", 1)
    monkeypatch.chdir(tmp_path)
    try:
        assert main(
            ["benchmark", "synthetic", "Kodak24", "--method", "noisy", "--method",
             "python:mean3:Mean3", "--noise", "gaussian:50", "--out", "table", "-q"]
        ) == 0  # fmt: skip
        from mean3 import Mean3

        names = {"my_network": Mean3()}
        exec(second.replace('"table"', '"other"'), names)  # noqa: S102 - our own text
    finally:
        sys.modules.pop("mean3", None)
    printed = capsys.readouterr().out
    assert "| noisy | Mean3 |" in printed
    noisy, mean = (float(one) for one in re.findall(r"\| ([\d.]+)/", printed)[:2])
    assert mean > noisy + 5
    assert names["table"].measured["gaussian:50", "Kodak24"]["mine"].psnr > 20


def test_every_table_and_path_it_names_is_there(capsys):
    for command in set(re.findall(r"ldct-clipdn (\w+)", TEXT)):
        assert command in COMMANDS
    for path in re.findall(r"(?:scripts|bundles)/[\w/.]+\w", TEXT):
        assert (ROOT / path).exists(), path
    for figure in re.findall(r"\]\((figures/.*?)\)", TEXT):
        assert (ROOT / "docs" / figure).is_file()
