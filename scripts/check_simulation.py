"""Prints how well simulated quarter dose agrees with real quarter dose.

python scripts/check_simulation.py ../shared/data/ct/val/mayo_L192
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from ldct_clipdn.bench.simulation import compare_noise
from ldct_clipdn.ct.lowdose import simulate_low_dose
from ldct_clipdn.data.doses import DosePair, match_doses
from ldct_clipdn.data.slices import find_slices, read_frames
from ldct_clipdn.io.attributes import number, numbers
from ldct_clipdn.io.dicom_read import read_header

DOSE = 0.25


def main(folder: Path) -> None:
    """Compare, per kernel, over all slices.

    Parameters
    ----------
    folder
        Pairs of full and quarter dose, as DICOM.
    """
    by_kernel: dict[str, list[DosePair]] = defaultdict(list)
    for pair in match_doses(find_slices(folder).slices).pairs:
        by_kernel[pair.normal.kernel].append(pair)
    for kernel, pairs in by_kernel.items():
        full, real = (
            np.stack([next(iter(read_frames(pair[dose].path))) for pair in pairs])
            for dose in (0, 1)
        )
        headers = [read_header(pair.normal.path) for pair in pairs]
        simulated = simulate_low_dose(
            full,
            dose=DOSE,
            spacing_mm=numbers(headers[0], "PixelSpacing"),
            tube_current=[number(one, "XRayTubeCurrent") or 1.0 for one in headers],
            seed=1,
        )
        found = compare_noise(full, real - full, simulated - full)
        print(f"{kernel}: {found.tiles} tiles of {len(pairs)} slices")
        print(f"  median ratio of SD {found.ratio:.3f} (wanted 0.92 to 1.08)")
        print(f"  tiles within 20 %: {100 * found.within:.0f} % (wanted 90 %)")
        print(f"  distance of spectra {found.spectrum:.3f} (wanted 0.15 at most)")
        for axis, one, other in zip("xy", found.lag_simulated, found.lag_real, strict=True):
            print(f"  lag 1 in {axis}: {one:.2f}, real {other:.2f} (wanted within 0.06)")
        print(f"  mean {(simulated - full).mean():.3f} HU (wanted within 0.5)")
        print("  " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in found.by_place.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
