"""`ldct-clipdn phantom OUT`: a made-up abdomen as a CT series, for a first try without data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.cli.options import add_command, print_json
from ldct_clipdn.core.words import counted
from ldct_clipdn.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["add_parser", "run"]

DESCRIPTION = """Write a made-up abdomen (no real patient) as one DICOM series into the new or empty
folder OUT. The same options write the same bytes. Phantoms of one seed lie in one study and at the
same positions, whatever their noise, so that they make pairs for `ldct-clipdn evaluate`."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command.

    Parameters
    ----------
    subparsers
        Where the command is added.
    """
    parser = add_command(subparsers, "phantom", run, "write a made-up abdomen", DESCRIPTION)
    parser.add_argument("target", metavar="OUT", type=Path, help="new or empty folder")
    parser.add_argument("--slices", type=int, default=8, metavar="N", help="3 mm apart; default 8")
    parser.add_argument("--size", type=int, default=512, metavar="N", help="rows; default 512")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another one, another body"
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=0.0,
        metavar="HU",
        help="standard deviation of white Gaussian noise (the paper's sigma 5 is 80.3)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the phantom, and print where.

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
    ConfigError
        When a number makes no sense, or the folder is not empty or cannot be made.
    WriteError
        When the folder cannot be written.
    """
    from ldct_clipdn.batch.plan import check_target
    from ldct_clipdn.ct.phantom import abdomen_phantom, spacing_mm
    from ldct_clipdn.io.dicom_new import write_new

    if not 0 <= args.noise < float("inf"):
        raise ConfigError(f"the noise cannot be {args.noise} HU", remedy="Give 0 HU or more")
    check_target(args.target)
    if args.target.exists() and any(args.target.iterdir()):
        raise ConfigError(
            "the folder is not empty", path=args.target, remedy="Remove it, or give another one"
        )
    clean = abdomen_phantom(args.slices, args.size, args.seed)
    paths = write_new(
        _with_noise(clean, args.noise, args.seed) if args.noise else clean,
        args.target,
        spacing_mm=spacing_mm(args.size),
        patient_id=f"PHANTOM-{args.seed}",
        series_description=f"Phantom, noise {args.noise:g} HU" if args.noise else "Phantom",
        series_number=2 if args.noise else 1,
    )
    if args.json:
        print_json({"folder": args.target, "slices": len(paths), "noise_hu": args.noise})
    else:
        print(f"{counted(len(paths), 'slice')} of {args.size} x {args.size} pixels: {args.target}")
    return 0


def _with_noise(hu: NDArray[np.float32], sigma_hu: float, seed: int) -> NDArray[np.float32]:
    import numpy as np

    draw = np.random.default_rng(seed).standard_normal(hu.shape, dtype=np.float32)
    return hu + np.float32(sigma_hu) * draw
