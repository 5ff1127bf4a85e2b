from __future__ import annotations

import os
from pathlib import Path

import pytest

# no test may see or fill the weights folder of whoever runs it, nor take the encoder named there
os.environ["LDCT_CLIPDN_WEIGHTS"] = os.path.join(os.sep, "nonexistent", "weights")  # noqa: PTH118
os.environ.pop("LDCT_CLIPDN_ENCODER", None)


@pytest.fixture(scope="session")
def data() -> Path:
    """Development data, outside the repository."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LDCT_CLIPDN_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder} (LDCT_CLIPDN_DATA)")
    return folder
