"""`ldct-clipdn denoise IN OUT`: CT series in, derived CT series out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ldct_clipdn.batch.exit_codes import ExitCode
from ldct_clipdn.cli.listing import (
    SERIES_HEADING,
    by_reason,
    kernel_name,
    print_below,
    print_unused,
    series_start,
)
from ldct_clipdn.cli.options import add_command, low_high, print_json
from ldct_clipdn.cli.pages import Pages
from ldct_clipdn.cli.progress import show_progress
from ldct_clipdn.core.words import counted, printable
from ldct_clipdn.errors import BackendError, ConfigError, WeightsError

if TYPE_CHECKING:
    from ldct_clipdn.batch.manifest import Manifest, SeriesRecord
    from ldct_clipdn.batch.options import RunOptions

__all__ = ["add_parser", "run"]

DESCRIPTION: Final = """Denoise every CT series in IN, a file or a folder, into a new derived series
OUT/<series UID>/<image UID>.dcm, and every volume (NIfTI, NRRD, MHA) into
OUT/<its folder in IN>/<name>_denoised. IN is never changed. OUT/manifest.json says what became of
every file. A run that was cut off goes on where it stopped. Research use only, not a medical
device."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command.

    Parameters
    ----------
    subparsers
        Where the command is added.
    """
    parser = add_command(subparsers, "denoise", run, "denoise CT series", DESCRIPTION)
    parser.add_argument(
        "source", metavar="IN", type=Path, help="folder, DICOM file, DICOMDIR, zip or volume"
    )
    parser.add_argument("target", metavar="OUT", type=Path, help="output folder, outside IN")
    parser.add_argument("--weights", default="default", help="weights: a name or a file")
    parser.add_argument(
        "--strength",
        default="1",
        metavar="S",
        help="share of the network's change that is applied: 0 to 1, low, medium or high; 0 copies "
        "the pixels; auto chooses it for each series by its noise",
    )
    parser.add_argument(
        "--target-noise",
        type=float,
        metavar="HU",
        help="noise that --strength auto leaves; default: what the weights are for",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        help="write a page beside each result: <series UID>.html, <name>_denoised....html",
    )
    parser.add_argument(
        "--report-identifiers",
        action="store_true",
        help="--report, with patient and study named on the pages",
    )
    parser.add_argument(
        "--series",
        action="append",
        default=[],
        metavar="KEYWORD=VALUE",
        help="only series with this DICOM attribute, such as ConvolutionKernel=B30*; may be "
        "repeated: all keywords must fit, by any of the values given for it",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done to every file; write nothing"
    )
    parser.add_argument(
        "--no-wallclock",
        dest="wallclock",
        action="store_false",
        help="write the study's date instead of today's, for data whose dates are shifted",
    )
    _add_compute_options(parser)
    _add_format_options(parser)


def _add_compute_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides where and how the network is computed."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--backend", default="auto", help="auto, torch, or identity for tests")
    parser.add_argument(
        "--precision",
        default="float32",
        help="float32, or bfloat16 or float16 where the device computes with it: another precision "
        "makes another series",
    )
    parser.add_argument(
        "--batch-size",
        default="auto",
        metavar="N",
        help="slices computed at once; auto: 1 on a CPU, 4 on CUDA",
    )
    parser.add_argument(
        "--window",
        type=low_high,
        metavar="LOW,HIGH",
        help="HU that the network sees as 0 and 1, as --window=-160,240; metal above "
        "and what lies far below come back unchanged (default: what the weights say they were "
        "trained on, else -1024,3072)",
    )


def _add_format_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides which images are taken and how results are written."""
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="WHAT",
        help="take images that are skipped by default: averages, burned-in, derived, "
        "monoenergetic, own, reformats or us (RescaleType US), and by no-air volumes without air, "
        "which may be label maps or MR; may be repeated",
    )
    parser.add_argument(
        "--compress",
        default="none",
        metavar="HOW",
        help="lossless compression of the results: none, jpeg-ls, jpeg-2000 or rle",
    )
    parser.add_argument(
        "--keep-private",
        action="append",
        default=[],
        metavar="TAG",
        help='keep a private attribute, such as 0019,"GEMS_ACQU_01",02; may be repeated',
    )
    parser.add_argument(
        "--primary",
        action="store_true",
        help="write ImageType DERIVED/PRIMARY instead of DERIVED/SECONDARY",
    )


def run(args: argparse.Namespace) -> int:
    """Denoise, and print what was done.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0 all was denoised, 1 a file or series failed, 3 nothing to denoise.

    Raises
    ------
    ConfigError
        When the run cannot begin, for whatever was given: then there is no manifest.
    """
    try:
        options = _options(args)
        return _show_plan(args, options) if args.dry_run else _denoise(args, options)
    except (BackendError, WeightsError) as error:  # those of a series are caught and recorded
        raise ConfigError(error.reason, path=error.path, remedy=error.remedy) from error


def _denoise(args: argparse.Namespace, options: RunOptions) -> int:
    from ldct_clipdn.batch.run import denoise_study

    pages = Pages(
        args.target,
        wanted=args.report or args.report_identifiers,
        identifiers=args.report_identifiers,
    )
    with show_progress(args, "denoising") as progress:
        manifest = denoise_study(
            args.source,
            args.target,
            options,
            progress=progress,
            show=pages.write,
            is_shown=pages.is_written,
        )
    if args.json:
        print_json(manifest.to_dict())
    else:
        _print_summary(manifest, args)
    return manifest.exit_code or pages.exit_code


def _options(args: argparse.Namespace) -> RunOptions:
    from ldct_clipdn.batch.options import RunOptions
    from ldct_clipdn.io.output import OutputOptions

    image_type = "PRIMARY" if args.primary else "SECONDARY"
    return RunOptions(
        args.weights,
        args.strength,
        args.device,
        args.backend,
        wallclock=args.wallclock,
        accept=tuple(args.accept),
        output=OutputOptions(args.compress, tuple(args.keep_private), image_type),
        target_noise=args.target_noise,
        precision=args.precision,
        batch_size=args.batch_size,
        window=args.window,
        series=tuple(args.series),
    )


def _show_plan(args: argparse.Namespace, options: RunOptions) -> int:
    """Print what would be done; errors and exit code are those of a run that reads as planned."""
    from ldct_clipdn.batch.run import plan_study, try_engine

    plan = plan_study(args.source, args.target, options)
    try_engine(plan, options)
    content = plan.to_dict(args.source)
    print_json(content) if args.json else _print_plan(content, args)
    if any(one.outcome == "failed" for one in plan.unused):
        return ExitCode.FAILED
    return ExitCode.DONE if plan.slices else ExitCode.NOTHING


def _print_plan(plan: Mapping[str, Any], args: argparse.Namespace) -> None:
    if plan["series"]:
        print(f"{SERIES_HEADING}{'to be':<10}description")
    for one in plan["series"]:
        described = printable(f"{one['description'] or '-'} ({kernel_name(one['kernel'])})")
        start = series_start(one["source_uid"], one["number"], one["slices"])
        print(f"{start}{'denoised':<10}{described}")
        print_below(one["notes"])
    for one in plan["volumes"]:
        slices = counted(one["slices"], "slice")
        print(printable(f"volume {one['path']}, {slices}, to be {one['result']}"))
        print_below(one["notes"])
    for outcome in ("failed", "skipped"):
        files = ((u["reason"], u["path"]) for u in plan["unused"] if u["outcome"] == outcome)
        for line in by_reason(files):
            print(f"{outcome:<8} {line}")
    if not plan["series"] and not plan["volumes"]:
        print(_nothing("Nothing to denoise", args, is_empty=not plan["unused"]))
    print("This was a dry run: nothing was written.")


def _nothing(words: str, args: argparse.Namespace, *, is_empty: bool) -> str:
    return printable(f"{words}: there is no file in {args.source}." if is_empty else f"{words}.")


def _print_record(one: SeriesRecord, target: Path) -> None:
    """Print what became of a series or volume, where its result is, and what to look at."""
    if one.kind == "volume":
        slices = counted(one.slices, "slice")
        line = f"volume {one.source_uid}, {slices}, {one.status}, {one.seconds:.1f} seconds"
    else:
        start = series_start(one.source_uid, one.number, one.slices)
        line = f"{start}{one.status:<10}{one.seconds:>8.1f}  {kernel_name(one.kernel)}"
    print(printable(line))
    result = (str(target / one.derived_uid),) if one.derived_uid else ()
    flags = tuple(_flags(one))
    told = tuple(f"{code}: " for code, _ in flags)  # begins the note that a flag says again
    notes = (note for note in one.notes if not note.startswith(told))
    print_below((*result, *map(": ".join, flags), *notes))


def _flags(one: SeriesRecord) -> Iterator[tuple[str, str]]:
    """Give what was found on a series: each code, and its words."""
    flags = one.quality.get("flags") if one.quality else None
    for flag in flags if isinstance(flags, list | tuple) else ():
        yield flag["code"], flag["text"]


def _print_summary(manifest: Manifest, args: argparse.Namespace) -> None:
    tried = [one for one in manifest.series if one.status != "skipped"]
    if any(one.kind == "series" for one in tried):
        print(f"{SERIES_HEADING}{'status':<10}{'seconds':>8}  kernel")
    for one in tried:
        _print_record(one, args.target)
    print_unused(manifest.inputs)
    if not any(one.derived_uid for one in tried):
        print(_nothing("Nothing was denoised", args, is_empty=not manifest.inputs))
    print(f"Weights: {manifest.weights['name']}. Details: {args.target / 'manifest.json'}")
    print("Research use only, not a medical device: read together with the original images.")
