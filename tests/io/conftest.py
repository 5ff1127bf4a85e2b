from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from deriving import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def dciodvfy() -> Callable[[Path], Counter[str]]:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy (Debian package dicom3tools) is not installed")

    def findings(path: Path) -> Counter[str]:
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, check=False)
        lines = done.stderr.decode("latin-1").splitlines()
        return Counter(one for one in lines if one.startswith(("Error", "Warning")))

    return findings
