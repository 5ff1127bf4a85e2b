"""Watching a series: noise before, measurements, the slice that is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import make_series
from coloured import B30F, coloured_noise

from ldct_clipdn.batch.watch import lowest_hu, watch_scan, written_hu
from ldct_clipdn.ct.flags import Expected
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.find import find_series
from ldct_clipdn.io.scan import Scan

SIZE = 96


def scan_of(folder: Path, **settings: object) -> Scan:
    make_series(folder, rows=SIZE, columns=SIZE, **settings)
    (scan,) = find_series(folder).scans
    return scan


def noisy(sd: float):
    return lambda z: 50 + coloured_noise(B30F, SIZE, sd, z)


def test_padding_is_not_measured_and_the_middle_is_kept(tmp_path: Path) -> None:
    scan = scan_of(tmp_path, slices=5, padding=0, hu=noisy(15.0))
    watch = watch_scan(scan)
    for instance in scan.instances:
        before = read_slice(instance)
        stored = before.stored + 1
        stored[before.padding] = 500
        watch.add(before.hu, written_hu(before, stored, instance.header), limited=2)
    record = watch.finish(Expected(slices=6))
    assert record.largest_change_hu == pytest.approx(1, abs=1e-3)
    assert record.limited == 10
    assert [flag.code for flag in record.flags] == ["MISSING_SLICES"]
    middle = read_slice(scan.instances[2])
    assert watch.example.index == 2
    np.testing.assert_array_equal(watch.example.before, middle.hu)
    np.testing.assert_allclose(
        watch.example.after, np.where(middle.padding, -1024, middle.hu + 1), atol=1e-3
    )


@pytest.mark.parametrize(("spacing", "is_measured"), [(["0.7"] * 2, True), (["0", "0"], False)])
def test_a_pixel_size_that_is_not_known_is_not_made_up(
    tmp_path: Path, spacing: list[str], is_measured: bool
) -> None:
    scan = scan_of(tmp_path, slices=3, spacing=spacing, hu=noisy(15.0))
    watch = watch_scan(scan)
    for instance in scan.instances:
        hu = read_slice(instance).hu
        watch.add(hu, hu + np.float32(1))
    record = watch.finish(Expected())
    assert (record.flicker_hu is not None) == is_measured
    assert record.largest_change_hu == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("settings", "hu"),
    [
        ({"intercept": "-1000"}, -1000),
        ({"intercept": "-1024"}, -1024),
        ({"intercept": "-8192"}, -1024),
        ({"signed": True, "intercept": "0", "bits_stored": 16}, -1024),
    ],
)
def test_lowest_value(tmp_path: Path, settings: dict, hu: float) -> None:
    scan = scan_of(tmp_path, slices=1, **settings)
    assert lowest_hu(scan.instances[0]) == hu
