"""Prints how well simulated quarter dose agrees with real quarter dose, tissue by tissue.

    python scripts/check_simulation.py ../shared/data/ct/val/mayo_L192 --figure noise.png

With `--exponents` it says instead how evenly simulated noise follows the noise that normal-dose
slices came with, for exponents of the attenuation: `ct.scan_noise.EXPONENT` was chosen by that.

    python scripts/check_simulation.py DATA/ct/train/mayo_L143 --exponents 0.7 0.85 1 1.15 1.3
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from ldct_clipdn.bench.results import markdown_table
from ldct_clipdn.bench.simulation import Agreement, compare_noise, compare_own_noise
from ldct_clipdn.bench.simulation_figure import NoisePair, draw_noise
from ldct_clipdn.ct import lowdose, scan_noise
from ldct_clipdn.ct.tissue import TISSUES, body_mask, smooth, tissue_mask
from ldct_clipdn.data.doses import match_doses
from ldct_clipdn.data.slices import CTSlice, find_slices, read_frames
from ldct_clipdn.io.acquisition import tube_currents
from ldct_clipdn.io.dicom_read import read_header
from ldct_clipdn.io.scan import pixel_spacing

DOSE = 0.25
SEED = 1
QUANTA = 1e6


class Series(NamedTuple):
    """Slices of normal dose, and what their noise depends on."""

    full: NDArray[np.float32]
    pixel_mm: float
    current: Sequence[float] | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare kernel by kernel.

    Parameters
    ----------
    arguments
        Of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="DICOM: pairs of doses, or normal dose alone")
    parser.add_argument("--figure", type=Path, help="PNG: real and simulated noise side by side")
    parser.add_argument(
        "--exponents", type=float, nargs="+", default=[], help="exponents to choose from"
    )
    args = parser.parse_args(arguments)
    slices = find_slices(args.folder).slices
    if args.exponents:
        compare_exponents([one for one in slices if one.dose == "normal"], args.exponents)
    else:
        compare_doses(slices, args.figure)


def compare_doses(slices: Sequence[CTSlice], figure: Path | None) -> None:
    """Compare simulated with real low dose.

    Parameters
    ----------
    slices
        Of both doses.
    figure
        Gets the pictures.
    """
    shown = []
    low = {pair.normal: pair.low for pair in match_doses(slices).pairs}
    for kernel, normal in by_kernel(list(low)).items():
        series = read(normal)
        real = pixels([low[one] for one in normal]) - series.full
        simulated = simulate(series, DOSE, "auto")
        found = compare_noise(series.full, real, simulated)
        report(kernel, found, float(simulated.mean()))
        middle = len(normal) // 2
        shown.append(noise_pair(kernel, *(one[middle] for one in (series.full, real, simulated))))
    if figure:
        draw_noise(shown, figure)


def compare_exponents(slices: Sequence[CTSlice], exponents: Sequence[float]) -> None:
    """Say how evenly simulated full-dose noise follows the slices' own.

    Parameters
    ----------
    slices
        Of normal dose.
    exponents
        To try in the place of `ct.scan_noise.EXPONENT`.
    """
    table = [["kernel", "exponent", "spread over slices", "within a slice", "regions"]]
    for kernel, chosen in by_kernel(slices).items():
        series = read(chosen)
        for exponent in exponents:
            with patch.object(scan_noise, "EXPONENT", exponent):
                # half the dose adds the variance that the full dose has
                noise = simulate(series, 0.5, QUANTA)
            found = compare_own_noise(series.full, noise)
            numbers = (f"{found.slices:.3f}", f"{found.regions:.3f}", str(found.uniform))
            table.append([kernel, f"{exponent:g}", *numbers])
    print(markdown_table(table))


def by_kernel(slices: Sequence[CTSlice]) -> dict[str, list[CTSlice]]:
    """Sort slices.

    Parameters
    ----------
    slices
        Of one dose.

    Returns
    -------
    dict
        By kernel.
    """
    found: dict[str, list[CTSlice]] = defaultdict(list)
    for one in slices:
        found[one.kernel].append(one)
    return found


def read(slices: Sequence[CTSlice]) -> Series:
    """Read pixels, spacing and tube current.

    Parameters
    ----------
    slices
        DICOM.

    Returns
    -------
    Series
        In the same order.
    """
    headers = [read_header(one.path) for one in slices]
    spacing = pixel_spacing(headers[0])
    if spacing is None:
        raise SystemExit(f"{slices[0].path}: no pixel spacing")
    return Series(pixels(slices), spacing[0], tube_currents(headers))


def pixels(slices: Sequence[CTSlice]) -> NDArray[np.float32]:
    """Read slices.

    Parameters
    ----------
    slices
        A file each.

    Returns
    -------
    numpy.ndarray
        float32 [Z, H, W] in HU.
    """
    return np.stack([next(iter(read_frames(one.path))) for one in slices])


def simulate(series: Series, dose: float, photons: str | float) -> NDArray[np.float32]:
    """Simulate what lower dose adds.

    Parameters
    ----------
    series
        Slices.
    dose, photons
        As `simulate_low_dose` takes them.

    Returns
    -------
    numpy.ndarray
        float32 [Z, H, W] in HU.
    """
    low = lowdose.simulate_low_dose(
        series.full,
        dose=dose,
        spacing_mm=series.pixel_mm,
        photons=photons,
        tube_current=series.current,
        seed=SEED,
    )
    return low - series.full


def report(kernel: str, found: Agreement, mean: float) -> None:
    """Print one kernel's figures beside what was wanted, then place by place.

    Parameters
    ----------
    kernel
        Its name.
    found
        Of all slices.
    mean
        Of the simulated noise, in HU.
    """
    lags = zip("xy", found.lag_simulated, found.lag_real, strict=True)
    table = [
        [kernel, "wanted", "found"],
        ["median ratio of SD", "0.92 to 1.08", f"{found.ratio:.3f}"],
        ["tiles within 20 %", "90 %", f"{100 * found.within:.0f} %"],
        ["distance of spectra", "at most 0.15", f"{found.spectrum:.3f}"],
        *(
            [f"lag 1 in {n}: simulated, real", "within 0.06", f"{s:.2f}, {r:.2f}"]
            for n, s, r in lags
        ),
        ["mean", "within 0.5 HU", f"{mean:.3f}"],
    ]
    places = [["place", "tiles", "median ratio of SD", "within 20 %"]]
    for name, one in {"all": found.overall, **found.by_place}.items():
        places.append([name, str(one.tiles), f"{one.ratio:.2f}", f"{100 * one.within:.0f} %"])
    print(markdown_table(table), markdown_table(places), sep="\n\n", end="\n\n")


def noise_pair(
    kernel: str,
    full: NDArray[np.float32],
    real: NDArray[np.float32],
    simulated: NDArray[np.float32],
) -> NoisePair:
    """Make a row of the figure.

    Parameters
    ----------
    kernel
        For its title.
    full
        The slice at full dose, [H, W] in HU.
    real, simulated
        What lower dose added.

    Returns
    -------
    NoisePair
        With body and soft tissue found.
    """
    smoothed = smooth(full)
    soft = tissue_mask(smoothed, TISSUES["soft"])
    return NoisePair(kernel, real, simulated, body_mask(smoothed), soft)


if __name__ == "__main__":
    main()
