"""Measures the peak memory of denoising a long series with the identity back-end.

    python scripts/memory_test.py 2000

The same run on two slices is taken off: what remains is what the study needs beyond program and
model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

import numpy as np
import pydicom
from pydicom.uid import UID

from ldct_clipdn.io.dicom_new import write_new

SIZE = 512
MIB = 2**20

RUN = """
import resource, sys
from ldct_clipdn.batch.run import RunOptions, denoise_study
manifest = denoise_study(sys.argv[1], sys.argv[2], RunOptions(backend="identity"))
assert manifest.exit_code == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> int:
    """Measure.

    Returns
    -------
    int
        0 where the study needs less than 3 GiB.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("slices", type=int, nargs="?", default=2000)
    slices = parser.parse_args().slices
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, least = measure(folder, 2)
        seconds, most = measure(folder, slices)
    beyond = most - least
    print(
        json.dumps({"slices": slices, "seconds": seconds, "peak_mib": most, "beyond_mib": beyond})
    )
    return 0 if beyond < 3 * 1024 else 1


def measure(folder: Path, slices: int) -> tuple[int, int]:
    """Denoise a made-up series of 512 x 512 pixels in a process of its own.

    Parameters
    ----------
    folder
        Where to work.
    slices
        Of the series.

    Returns
    -------
    tuple of int
        Seconds, and the peak of the resident memory in MiB.
    """
    source, target = folder / f"in{slices}", folder / f"out{slices}"
    make_series(source, slices)
    start = monotonic()
    command = [sys.executable, "-c", RUN, str(source), str(target)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return round(monotonic() - start), int(done.stdout) * 1024 // MIB


def make_series(folder: Path, slices: int) -> None:
    """Write a series of noise, slice by slice.

    Parameters
    ----------
    folder
        Where to.
    slices
        How many.
    """
    draw = np.random.default_rng(0)
    hu = draw.normal(40, 20, (1, SIZE, SIZE))
    (path,) = write_new(
        hu, folder, spacing_mm=(1.0, 0.7, 0.7), patient_id="LONG", series_description="Noise"
    )
    ds = pydicom.dcmread(path)
    path.unlink()
    for index in range(slices):
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{index + 1}")
        ds.InstanceNumber = index + 1
        ds.ImagePositionPatient = [*ds.ImagePositionPatient[:2], float(index)]
        ds.PixelData = draw.integers(900, 1200, (SIZE, SIZE), dtype=np.uint16).tobytes()
        ds.save_as(folder / f"{index:05d}.dcm")


if __name__ == "__main__":
    raise SystemExit(main())
