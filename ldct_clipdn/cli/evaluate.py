"""`ldct-clipdn evaluate RESULT REFERENCE`: PSNR, SSIM and RMSE in every range that papers use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.cli.options import add_command, low_high, print_json
from ldct_clipdn.core.words import counted
from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    from ldct_clipdn.batch.evaluate import Evaluation
    from ldct_clipdn.ct.hu import HURange
    from ldct_clipdn.data.pairs import Pair

__all__ = ["add_parser", "run"]

DESCRIPTION = """Measure RESULT against REFERENCE (and --input, to see the gain). Each is a DICOM
series, a NIfTI, NRRD or MHA volume, a NumPy file of HU, or a folder of one of these. DICOM is
paired by position, else by InstanceNumber; other files by name, without the endings _denoised,
_target and _input. Papers measure in different HU ranges, so all of them are printed: compare only
figures of one range, kind of SSIM and slice thickness."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command.

    Parameters
    ----------
    subparsers
        Where the command is added.
    """
    parser = add_command(subparsers, "evaluate", run, "measure against a reference", DESCRIPTION)
    parser.add_argument("result", metavar="RESULT", type=Path, help="what is measured")
    parser.add_argument("reference", metavar="REFERENCE", type=Path, help="what it should be")
    parser.add_argument("--input", type=Path, metavar="NOISY", help="what RESULT was made from")
    parser.add_argument(
        "--prepared", action="store_true", help="NumPy files hold (HU + 1024) / 4096, not HU"
    )
    parser.add_argument(
        "--as-published",
        action="store_true",
        help="also measure as the paper's test script does, which takes 3096 for 3072 by mistake",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line per slice")
    parser.add_argument("--figure", type=Path, metavar="PNG", help="draw one slice side by side")
    parser.add_argument(
        "--slice", type=int, metavar="K", help="slice of the figure, counted from 1; the middle one"
    )
    parser.add_argument(
        "--window",
        default="abdomen",
        help="of the figure: abdomen, lung, bone, brain, or two HU such as --window=-160,240",
    )


def run(args: argparse.Namespace) -> int:
    """Measure, and print the means.

    Parameters
    ----------
    args
        As parsed.

    Returns
    -------
    int
        0.

    Raises
    ------
    LdctError
        When something cannot be read, paired or written.
    """
    from tqdm import tqdm

    from ldct_clipdn.batch.evaluate import evaluate_pairs
    from ldct_clipdn.batch.plan import check_source
    from ldct_clipdn.core.metrics import AS_PUBLISHED, RULERS
    from ldct_clipdn.data.pairs import find_pairs

    window = _window(args.window)
    for path in filter(None, (args.result, args.reference, args.input)):
        check_source(path)
    pairs = find_pairs(args.result, args.reference, args.input, prepared=args.prepared)
    shown = _shown(pairs, args.slice)
    rulers = (*RULERS, AS_PUBLISHED) if args.as_published else RULERS
    quiet = args.quiet or not sys.stderr.isatty()
    with tqdm(pairs, "measuring", unit=" slices", disable=quiet, leave=False) as progress:
        evaluation = evaluate_pairs(progress, rulers)
    if args.csv:
        evaluation.write_csv(args.csv)
    if args.figure:
        _draw(args.figure, shown, window)
    if args.json:
        print_json(evaluation.to_dict())
    else:
        print("\n".join(_table(evaluation)))
    return 0


def _window(name: str) -> HURange:
    from ldct_clipdn.ct.hu import WINDOWS, Window

    if name in WINDOWS:
        return WINDOWS[name]
    try:
        return Window(*low_high(name))
    except argparse.ArgumentTypeError as error:
        raise ConfigError(
            f"there is no window {name!r}",
            remedy=f"Give {', '.join(WINDOWS)}, or two HU such as --window=-160,240",
        ) from error


def _shown(pairs: list[Pair], number: int | None) -> Pair:
    """Take the slice for the figure."""
    if number is None:
        return pairs[len(pairs) // 2]
    if not 1 <= number <= len(pairs):
        raise ConfigError(f"there is no slice {number}", remedy=f"Give 1 to {len(pairs)}")
    return pairs[number - 1]


def _draw(path: Path, pair: Pair, window: HURange) -> None:
    from ldct_clipdn.report.figures import draw_comparison

    images = ({"input": pair.noisy()} if pair.noisy else {}) | {"result": pair.result()}
    draw_comparison(path, images, window, reference=pair.reference())


def _table(evaluation: Evaluation) -> Iterator[str]:
    """Set the means side by side, one ruler per line, and name the rulers below."""
    count = len(evaluation.slices)
    columns = [f"{'PSNR dB':>8}{'SSIM':>8}{'RMSE HU':>9}"] * len(evaluation.images)
    yield f"{'mean of ' * (count > 1) + counted(count, 'slice'):<26}" + "".join(
        f"{image:^27}" for image in evaluation.images
    )
    yield f"{'ruler':<11}{'HU':<15}" + "  ".join(columns)
    for ruler in evaluation.rulers:
        means = (evaluation.mean(image, ruler.name) for image in evaluation.images)
        yield f"{ruler.name:<11}{f'[{ruler.low:g}, {ruler.high:g}]':<15}" + "  ".join(
            f"{mean.psnr:8.2f}{mean.ssim:8.4f}{mean.rmse:9.2f}" for mean in means
        )
    for ruler in evaluation.rulers:
        yield f"{ruler.name}: {ruler.origin}"
    yield from _perfect(evaluation)


def _perfect(evaluation: Evaluation) -> Iterator[str]:
    """Say where some slices equal the reference: the mean PSNR leaves them out."""
    for image in evaluation.images:
        for ruler in evaluation.rulers:
            mean = evaluation.mean(image, ruler.name)
            if 0 < mean.perfect < mean.slices:
                yield (
                    f"{mean.perfect} of {mean.slices} slices of the {image} equal the reference "
                    f"({ruler.name}); the mean PSNR leaves them out"
                )
