"""What README and docs promise is there: code that runs, commands that exist, links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ldct_clipdn.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted([README, *ROOT.glob("docs/*.md"), *ROOT.glob("bundles/*/docs/*.md")])


def test_python_runs_as_written(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    noisy = np.random.default_rng(0).normal(40, 30, (2, 64, 64)).astype(np.float32)
    np.save(tmp_path / "slices.npy", noisy)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    denoised = np.load(tmp_path / "denoised.npy")
    assert denoised.shape == noisy.shape
    assert denoised[:, 8:-8, 8:-8].std() < 0.5 * noisy[:, 8:-8, 8:-8].std()
    assert abs(denoised.mean() - noisy.mean()) < 3


def test_commands_exist() -> None:
    named = set(re.findall(r"^ldct-clipdn (\w[\w-]*)", README.read_text(encoding="utf-8"), re.M))
    assert len(named) > 5
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert not missing
