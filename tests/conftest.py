from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# no test may see or fill the weights folder of whoever runs it, nor take the encoder named there
os.environ["LDCT_CLIPDN_WEIGHTS"] = os.path.join(os.sep, "nonexistent", "weights")  # noqa: PTH118
os.environ.pop("LDCT_CLIPDN_ENCODER", None)


class Disk(Protocol):
    def __call__(self, room: int) -> AbstractContextManager[None]: ...


@pytest.fixture
def full_disk() -> Disk:
    """Let no file grow past `room` bytes: the system refuses to write, as on a full disk."""

    @contextmanager
    def limited(room: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Collect matplotlib's figures as they are saved."""
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    save = Figure.savefig

    def collect(self: Figure, *args: object, **options: object) -> None:
        figures.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", collect)
    return figures


@pytest.fixture(scope="session")
def data() -> Path:
    """Development data, outside the repository."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LDCT_CLIPDN_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder} (LDCT_CLIPDN_DATA)")
    return folder
