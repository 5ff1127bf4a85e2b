"""Trains a denoiser for some minutes, denoises a CT series with it, and shows what came out.

Apart from the noisy copy of a real series, every step is a command that a user would type, and is
printed before it runs. `quickstart.sh` installs what this needs.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from ldct_clipdn.core.encoder_files import ENCODER_VARIABLE
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.data.mayo import split_by_patient
from ldct_clipdn.data.slices import CTSlice, find_slices, read_frames
from ldct_clipdn.errors import ConfigError, LdctError
from ldct_clipdn.io.dicom_new import write_new

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "bundles" / "ldct_clip_denoising" / "configs" / "train.json"

SIGMA = 5
NOISE_HU = SIGMA / 255 * HURange().width
"""The paper's training noise on CT."""

MARK = ".made-by-quickstart"
"""In the output folder: a second start may remove it."""

TEST_SLICES = 2
TRAINING_PHANTOMS = 3


def main() -> int:
    """Run all steps.

    Returns
    -------
    int
        0, or the exit code of the step that failed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", nargs="?", type=Path, help="normal-dose CT, in any layout")
    parser.add_argument("--iterations", type=int, default=300, help="of training; default 300")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "quickstart-out",
        help="new or empty, or of an earlier quick start, and then made anew",
    )
    args = parser.parse_args()
    try:
        make_anew(args.out, args.data_dir)
        data = args.data_dir or write_phantoms(args.out)
        if args.data_dir:
            write_held_out_slices(args.data_dir, args.out)
        train(data, args.out, args.iterations)
        denoise_and_show(args.out)
    except subprocess.CalledProcessError as error:
        print("quickstart: the command above failed, and says why", file=sys.stderr)
        return error.returncode
    except LdctError as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    return 0


def make_anew(out: Path, data: Path | None) -> None:
    """Make the output folder; what is removed for it is an earlier quick start's.

    Parameters
    ----------
    out
        Where everything goes.
    data
        What is read; None for nothing.

    Raises
    ------
    ConfigError
        When the folder holds anything else, or one of the two lies in the other.
    """
    out = out.resolve()
    if data is not None:
        data = data.resolve()
        if data == out or data in out.parents or out in data.parents:
            raise ConfigError(
                f"the output would lie in the data, or the data ({data}) in the output",
                path=out,
                remedy="Name another folder as --out",
            )
    if (out / MARK).is_file():
        shutil.rmtree(out)
    elif out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(
            "this was not made by a quick start, and is never removed",
            path=out,
            remedy="Name another folder as --out, or remove it yourself",
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def write_phantoms(out: Path) -> Path:
    """Write made-up bodies to train on, and another one, clean and noisy, to test on.

    Parameters
    ----------
    out
        Gets `data/`, `clean/` and `noisy/`.

    Returns
    -------
    Path
        The folder to train on.
    """
    for seed in range(1, TRAINING_PHANTOMS + 1):
        command("phantom", out / "data" / f"body-{seed}", "--slices", 4, "--seed", seed)
    command("phantom", out / "clean", "--slices", TEST_SLICES)
    command("phantom", out / "noisy", "--slices", TEST_SLICES, "--noise", f"{NOISE_HU:.1f}")
    return out / "data"


def write_held_out_slices(data: Path, out: Path) -> None:
    """Write slices of a patient whom training holds out, as they are and with noise.

    Parameters
    ----------
    data
        The data set.
    out
        Gets `clean/` and `noisy/`.
    """
    slices = [one for one in find_slices(data).slices if one.dose == "normal"]
    training, held_out = split_by_patient(slices)
    if not held_out:
        print("One patient only: the test slices are among those that train.")
    clean = np.stack([read(one) for one in middle_of_one_matrix(held_out or training)])
    noise = np.random.default_rng(0).normal(0, NOISE_HU, clean.shape)
    for number, (name, hu) in enumerate((("clean", clean), ("noisy", clean + noise)), start=1):
        write_new(
            hu,
            out / name,
            spacing_mm=(1, 1, 1),  # the network does not look at it
            patient_id="QUICKSTART",
            patient_name="QUICKSTART",
            series_description=name,
            series_number=number,
        )


def middle_of_one_matrix(slices: list[CTSlice]) -> list[CTSlice]:
    """Choose the test slices: from the middle of the first patient, of one matrix size.

    Parameters
    ----------
    slices
        In order.

    Returns
    -------
    list of CTSlice
        Two, or one where there are no more.
    """
    first = slices[0]
    alike = [one for one in slices if (one.patient, one.shape) == (first.patient, first.shape)]
    start = max(0, (len(alike) - TEST_SLICES) // 2)
    return alike[start : start + TEST_SLICES]


def read(one: CTSlice) -> np.ndarray:
    """Read one slice.

    Parameters
    ----------
    one
        A slice that was found.

    Returns
    -------
    numpy.ndarray
        HU, float32 [H, W].
    """
    return list(read_frames(one.path))[one.frame]


def train(data: Path, out: Path, iterations: int) -> None:
    """Train through the MONAI bundle.

    Parameters
    ----------
    data
        Folder of CT to train on.
    out
        Gets `run/`.
    iterations
        Length of the training.
    """
    given = os.environ.get(ENCODER_VARIABLE)
    source = (
        f"{given} ({ENCODER_VARIABLE})" if given else f"random, since {ENCODER_VARIABLE} is unset"
    )
    print(f"Encoder RN50, frozen; weights: {source}")
    settings = {
        "dataset_dir": data,
        "run_dir": out / "run",
        "cache_dir": out / "cache",
        "encoder_weights": "openai" if given else "none",  # a tag is looked up in the variable
        "start": "identity",  # a short training needs it
        "sigma": SIGMA,
        "max_iterations": iterations,
        "validation_interval": iterations,
        "validation_slices": 1,
        "batch_size": 8,
        "crop_size": 64,
        "num_workers": 0,
    }
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    run("-m", "monai.bundle", "run", "training", "--config_file", CONFIG, *options)


def denoise_and_show(out: Path) -> None:
    """Denoise the noisy series with what was trained; measure and draw the result.

    Parameters
    ----------
    out
        Holds `run/`, `clean/` and `noisy/`; gets `denoised/` and `quickstart.png`.
    """
    picture = out / "quickstart.png"
    command("denoise", out / "noisy", out / "denoised", "--weights", out / "run" / "best.pt")
    measured = ("--input", out / "noisy", "--figure", picture)
    command("evaluate", out / "denoised", out / "clean", *measured)
    print(f"\nBefore, after and difference: {picture}")


def command(*arguments: object) -> None:
    """Run one `ldct-clipdn` command.

    Parameters
    ----------
    *arguments
        Name of the command, and what follows it.
    """
    run("-m", "ldct_clipdn", *arguments)


def run(*arguments: object) -> None:
    """Run this interpreter, and say with what.

    Parameters
    ----------
    *arguments
        What follows `python`.
    """
    words = [str(argument) for argument in arguments]
    print(f"\n$ python {shlex.join(words)}", flush=True)
    subprocess.run([sys.executable, *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
