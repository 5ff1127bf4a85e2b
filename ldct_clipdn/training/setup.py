"""What the bundles' configs call before a run, under one name; and how its errors are printed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import TracebackType

from ldct_clipdn.data.digest import files_digest
from ldct_clipdn.errors import LdctError
from ldct_clipdn.training.evaluation import hu_range_of, network_for, require_validation
from ldct_clipdn.training.overrides import check_overrides
from ldct_clipdn.training.run_folder import claim_run_dir, default_run_dir, find_bundle_root

__all__ = [
    "check_overrides",
    "claim_run_dir",
    "default_run_dir",
    "files_digest",
    "find_bundle_root",
    "hu_range_of",
    "network_for",
    "report_errors_plainly",
    "require_validation",
]


def report_errors_plainly() -> None:
    """Print an error of ours that ends the process as one line, not as MONAI's chain of tracebacks.

    Whoever catches exceptions sees them as they are; this changes only what is printed at the end.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        ours = next((link for link in _chain(error) if isinstance(link, LdctError)), None)
        if ours is None and not issubclass(kind, KeyboardInterrupt):
            before(kind, error, trace)
        else:
            line = ours or "interrupted"
            print(f"ldct_clipdn: {line}", file=sys.stderr)  # noqa: T201 - the process ends here

    sys.excepthook = hook


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Follow what MONAI wraps, which names its cause: a bug in an `except` of ours has none."""
    while error is not None:
        yield error
        error = error.__cause__
