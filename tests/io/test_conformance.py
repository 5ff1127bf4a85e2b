"""The conformance statement lists what the code does, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydicom.datadict import keyword_for_tag
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit

from ldct_clipdn.io.accept import ADMISSIBLE
from ldct_clipdn.io.codecs import DECODERS, ENCAPSULATED_UNCOMPRESSED, LOSSY_METHODS
from ldct_clipdn.io.dicom_check import CHANGED
from ldct_clipdn.io.kept_attributes import DROPPED
from ldct_clipdn.io.output import COMPRESSIONS

STATEMENT = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()
ROW = re.compile(
    r"^\| .* \| (1\.2\.840\.10008\.1\.2[.\d]*) \| ([^ ;]+)[^|]*\|(.*)\|$", re.MULTILINE
)
NATIVE = {"1.2.840.10008.1.2", *(f"1.2.840.10008.1.2.{end}" for end in ("1", "2", "1.99"))}


def test_transfer_syntaxes() -> None:
    rows = {uid: (decoder, lossy) for uid, decoder, lossy in ROW.findall(STATEMENT)}
    own = {str(ENCAPSULATED_UNCOMPRESSED), str(JPEGExtended12Bit)}
    assert set(rows) == {*map(str, DECODERS), *own, *NATIVE}
    named = {"gdcm": "GDCM", "pyjpegls": "CharLS", "pylibjpeg": "OpenJPEG", "pydicom": "pydicom"}
    for syntax, plugin in DECODERS.items():
        assert rows[str(syntax)][0] == named[plugin]
    assert {uid for uid, (_, lossy) in rows.items() if lossy.strip()} == {
        str(uid) for uid in LOSSY_METHODS if uid != JPEGBaseline8Bit
    }


def test_choices() -> None:
    accepted = set(re.findall(r"\| `([a-z][a-z-]*)` \|$", STATEMENT, re.MULTILINE))
    assert accepted == set(ADMISSIBLE)
    for name, (syntax, _) in COMPRESSIONS.items():
        assert f"`{name}`" in STATEMENT
        assert str(UID(syntax)) in STATEMENT or name == "none"


@pytest.mark.parametrize("tag", sorted(DROPPED | CHANGED))
def test_every_attribute_that_is_touched_is_named(tag: int) -> None:
    keyword = keyword_for_tag(tag)
    shorter = keyword.removesuffix("Time") if keyword.endswith("Time") else keyword
    written = STATEMENT.replace("...", "LossyImageCompression").replace("Date/Time", "Date")
    assert keyword in written or shorter.replace("Time", "") + "Date" in written
