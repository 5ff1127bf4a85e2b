from __future__ import annotations

import logging
import warnings
from threading import Barrier, Event, Thread

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from ldct_clipdn.io.attributes import items, number, numbers, quiet_pydicom, text, texts


def raw(tag: int, vr: str, value: bytes) -> Dataset:
    ds = Dataset()
    ds[tag] = RawDataElement(Tag(tag), vr, len(value), value, 0, False, True)
    return ds


def test_texts_and_numbers() -> None:
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.SliceThickness = "008.000000E+00"
    ds.PixelSpacing = ["0.5", "1.25"]
    ds.PatientID = ""
    assert texts(ds, "ImageType") == ["ORIGINAL", "PRIMARY"]
    assert text(ds, "ImageType") == "ORIGINAL PRIMARY"
    assert number(ds, "SliceThickness") == 8
    assert numbers(ds, "PixelSpacing") == [0.5, 1.25]
    assert text(ds, "PatientID") == text(ds, "PatientName") == ""
    assert number(ds, "KVP") is None
    assert numbers(ds, "ImageType") == []


@pytest.mark.parametrize("value", [b"abc ", b"1\\x ", b"nan ", b"1e999 "])
def test_values_that_are_no_numbers_are_none(value: bytes) -> None:
    with quiet_pydicom():
        assert numbers(raw(0x00280030, "DS", value), "PixelSpacing") == []
        assert number(raw(0x00280030, "DS", value), "PixelSpacing") is None


@pytest.mark.parametrize(("vr", "value"), [("US", b"\1"), ("IS", b"1.5 "), ("XX", b"??")])
def test_values_that_cannot_be_parsed_are_none(vr: str, value: bytes) -> None:
    with quiet_pydicom():
        assert number(raw(0x00280010, vr, value), "Rows") in (None, 1.5)


def test_items() -> None:
    ds = Dataset()
    ds.SourceImageSequence = [Dataset(), Dataset()]
    ds.PatientID = "text"
    assert len(items(ds, "SourceImageSequence")) == 2
    assert items(ds, "PatientID") == items(ds, "DerivationCodeSequence") == []
    with quiet_pydicom():
        assert items(raw(0x00082112, "SQ", b"\1\2\3"), "SourceImageSequence") == []


def test_pydicom_is_quiet_inside_and_as_before_outside() -> None:
    logger = logging.getLogger("pydicom")
    level = logger.level
    with quiet_pydicom():
        assert not logger.isEnabledFor(logging.ERROR)
        warnings.warn("odd header", UserWarning, stacklevel=1)
    assert logger.level == level
    with pytest.warns(UserWarning, match="odd"):
        warnings.warn("odd header", UserWarning, stacklevel=1)


def test_threads_are_quiet_together() -> None:
    """The first one to leave must not speak for the others, nor the last one leave it silent."""
    logger, filters = logging.getLogger("pydicom"), list(warnings.filters)
    level = logger.level
    inside, leave = Barrier(3), [Event(), Event()]

    def work(number: int) -> None:
        with quiet_pydicom():
            inside.wait()
            leave[number].wait()

    threads = [Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    inside.wait()
    leave[0].set()
    threads[0].join()
    assert logger.level == logging.CRITICAL
    warnings.warn("odd header", UserWarning, stacklevel=1)
    leave[1].set()
    threads[1].join()
    assert logger.level == level
    assert warnings.filters == filters
