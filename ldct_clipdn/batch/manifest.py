"""What a run did, file by file and series by series, as `manifest.json`."""

from __future__ import annotations

import json
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import ldct_clipdn
from ldct_clipdn.batch.exit_codes import ExitCode
from ldct_clipdn.core.whole_file import system_words, whole_file
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.scan import Scan, Unused

__all__ = [
    "MANIFEST_FILE",
    "InputRecord",
    "Manifest",
    "SeriesRecord",
    "all_inputs",
    "exit_code",
    "file_records",
    "read_json",
    "relative_name",
    "tool_versions",
    "unused_series",
    "write_json",
]

MANIFEST_FILE: Final = "manifest.json"
"""Its name in the output folder."""

TOOLS: Final = ("torch", "numpy", "pydicom")


class Judged(Protocol):
    """A record of a series, of any kind of run."""

    @property
    def status(self) -> str:
        """Say what became of it; `partial`, `failed` and `skipped` mean the same everywhere."""


@dataclass(frozen=True)
class SeriesRecord:
    """What became of one series, or of one part of a series that was split.

    Parameters
    ----------
    source_uid
        SeriesInstanceUID of the source.
    derived_uid
        SeriesInstanceUID of the result, and its folder's name; empty where there is none.
    slices
        Images of the source series.
    status
        `partial`: some images could not be read, the others are written.
    seconds
        Wall time.
    quality
        What was measured on it; None where nothing was.
    notes
        What a person should know of the source, one line each: gaps, duplicate positions, tilt, how
        it was split, lossy compression, UIDs that it lacks, what was asked for although it is odd;
        and which other result of it the output folder holds.
    kind
        `volume`: then `source_uid` is its name in the input, `derived_uid` that in the output.
    number
        SeriesNumber of the source; None where it is not known.
    kernel
        ConvolutionKernel of the source. No description: it may name a patient.
    """

    source_uid: str
    derived_uid: str
    slices: int
    status: Literal["denoised", "partial", "failed", "skipped"]
    seconds: float = 0.0
    quality: Mapping[str, object] | None = None
    notes: tuple[str, ...] = ()
    kind: Literal["series", "volume"] = "series"
    number: int | None = None
    kernel: str = ""


@dataclass(frozen=True)
class InputRecord:
    """What became of one input file.

    Parameters
    ----------
    path
        Relative to the input folder, with `/`.
    outcome
        As in the manifest.
    reason
        Why, and what to do about it; empty where the file was denoised, or lowered in dose.
    """

    path: str
    outcome: Literal["denoised", "simulated", "skipped", "failed"]
    reason: str = ""


@dataclass(frozen=True)
class Manifest:
    """What a run did.

    Parameters
    ----------
    versions
        Of this package, Python and the libraries that compute.
    weights
        `name` and `sha256`.
    options
        Of the run.
    series
        One record per series or part of one.
    inputs
        One record per file, sorted by path.
    earlier
        Records, as in `series`, of results that earlier runs wrote and that still lie in the output
        folder, where this run neither wrote nor found them done.
    """

    versions: Mapping[str, str]
    weights: Mapping[str, str]
    options: Mapping[str, object]
    series: tuple[SeriesRecord, ...]
    inputs: tuple[InputRecord, ...]
    earlier: tuple[Mapping[str, object], ...] = ()

    @property
    def exit_code(self) -> int:
        """Say as an exit code how the run went.

        Returns
        -------
        int
            0 all was denoised, 1 a file or series failed, 3 there was nothing to denoise.
        """
        return exit_code(self.series, self.inputs)

    def to_dict(self) -> dict[str, object]:
        """Turn the manifest into what JSON can hold.

        Returns
        -------
        dict
            With the names of the parameters as keys.
        """
        return asdict(self)

    def write(self, folder: Path) -> Path:
        """Write `manifest.json`, replacing that of an earlier run.

        Parameters
        ----------
        folder
            The output folder.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        WriteError
            When it cannot be written.
        """
        path = folder / MANIFEST_FILE
        write_json(path, self.to_dict())
        return path


def exit_code(series: Iterable[Judged], inputs: Iterable[InputRecord]) -> int:
    """Say as an exit code how a run went.

    Parameters
    ----------
    series
        What became of each series.
    inputs
        What became of each file.

    Returns
    -------
    int
        0 all was done, 1 a file or series failed, 3 there was nothing to do.
    """
    statuses = {one.status for one in series}
    if statuses & {"failed", "partial"} or any(one.outcome == "failed" for one in inputs):
        return ExitCode.FAILED
    return ExitCode.DONE if statuses - {"skipped"} else ExitCode.NOTHING


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON file whole or not at all.

    Parameters
    ----------
    path
        The file.
    content
        What to write.

    Raises
    ------
    WriteError
        When it cannot be written.
    """
    try:
        with whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, default=str)
    except OSError as error:
        raise WriteError(
            f"the output folder cannot be written: {system_words(error)}",
            path=path.parent,
            remedy="Check free space and permissions, or give another folder",
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read what an earlier run wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    dict
        Empty where there is no file that makes sense.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def tool_versions() -> dict[str, str]:
    """Name the versions of what computes.

    Returns
    -------
    dict
        Version by name.
    """
    own = {"ldct_clipdn": ldct_clipdn.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in TOOLS}


def relative_name(path: Path, source: Path) -> str:
    """Name an input file in a way that holds when the folder moves.

    Parameters
    ----------
    path
        The file.
    source
        The input: a folder, or a file (an image, a zip archive, a DICOMDIR).

    Returns
    -------
    str
        Relative to the input folder, or to that of the input file, with `/`.
    """
    return path.relative_to(source if source.is_dir() else source.parent).as_posix()


def file_records(
    scan: Scan, failures: Mapping[Path, str], source: Path, done: Literal["denoised", "simulated"]
) -> tuple[InputRecord, ...]:
    """Record what became of the files of a series.

    Parameters
    ----------
    scan
        The series, as it was planned.
    failures
        Why not, of the files that could not be used.
    source
        The input.
    done
        What became of the others.

    Returns
    -------
    tuple of InputRecord
        One for each file: frames share one.
    """
    return tuple(
        InputRecord(
            relative_name(path, source),
            "failed" if path in failures else done,
            failures.get(path, ""),
        )
        for path in dict.fromkeys(one.path for one in scan.instances)
    )


def all_inputs(
    used: Iterable[InputRecord], unused: Iterable[Unused], source: Path
) -> tuple[InputRecord, ...]:
    """Put the records of all files together.

    Parameters
    ----------
    used
        Those of files that belong to a series or volume of the run.
    unused
        All other files.
    source
        The input.

    Returns
    -------
    tuple of InputRecord
        Sorted by path.
    """
    others = (
        InputRecord(relative_name(one.path, source), one.outcome, one.reason) for one in unused
    )
    return tuple(sorted([*used, *others], key=lambda one: one.path))


def unused_series(unused: Iterable[Unused], known: Iterable[str]) -> list[SeriesRecord]:
    """Record the series of which no image could be used.

    Parameters
    ----------
    unused
        Files that were not denoised.
    known
        SeriesInstanceUIDs that have a record already.

    Returns
    -------
    list of SeriesRecord
        `failed` where any of its files failed, else `skipped`.
    """
    files: dict[str, list[Unused]] = defaultdict(list)
    for one in unused:
        if one.series_uid and one.series_uid not in set(known):
            files[one.series_uid].append(one)
    return [
        SeriesRecord(
            uid,
            "",
            len(each),
            "failed" if any(one.outcome == "failed" for one in each) else "skipped",
            number=next((one.taken[1] for one in each if one.taken), None),
        )
        for uid, each in sorted(files.items())
    ]
