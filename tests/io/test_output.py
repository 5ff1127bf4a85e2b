"""Choices of how derived images are written: compression, private attributes, ImageType."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from deriving import KINDS, Workshop
from pydicom.tag import Tag

from ldct_clipdn.errors import ConfigError, WriteError
from ldct_clipdn.io.dicom_check import check_derived
from ldct_clipdn.io.dicom_read import read_slice
from ldct_clipdn.io.output import COMPRESSIONS, OutputOptions
from ldct_clipdn.io.uids import identity, pixel_digest
from ldct_clipdn.io.written_before import find_written

LOSSLESS = sorted(set(COMPRESSIONS) - {"none"})


@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("kind", ["signed GE with padding", "unsigned 12-bit Siemens"])
def test_compressed_images_hold_the_same_values(
    workshop: Workshop, compression: str, kind: str, dciodvfy: Callable[[Path], Counter[str]]
) -> None:
    scan = workshop.make(kind, rows=48, columns=64)
    plain = workshop.derive(scan)
    recipe = workshop.recipe(output=OutputOptions(compression=compression))
    for number, ds in workshop.derive(scan, recipe=recipe).items():
        assert ds.file_meta.TransferSyntaxUID == COMPRESSIONS[compression][0]
        assert (ds.pixel_array == plain[number].pixel_array).all()
        assert ds.get("LossyImageCompression") is None
        assert ds.SOPInstanceUID != plain[number].SOPInstanceUID
        assert len(ds.PixelData) < len(plain[number].PixelData)
        source = next(one for one in scan.instances if one.header.InstanceNumber == number)
        assert dciodvfy(Path(ds.filename)) - dciodvfy(source.path) == Counter()


@pytest.mark.parametrize("compression", LOSSLESS)
def test_compressed_results_are_known_again(workshop: Workshop, compression: str) -> None:
    scan = workshop.make()
    recipe = workshop.recipe(output=OutputOptions(compression=compression))
    first = workshop.derive(scan, recipe=recipe)[1]
    folder = Path(first.filename).parent
    sources = {identity(one): pixel_digest(read_slice(one).stored) for one in scan.instances}
    assert find_written(folder, sources)
    first.PixelData = first.PixelData[: len(first.PixelData) // 2]
    first.save_as(first.filename)
    with pytest.raises(WriteError, match="is damaged"):
        find_written(folder, sources)


def test_the_check_wants_the_syntax_that_was_asked_for(workshop: Workshop) -> None:
    scan = workshop.make(slices=1)
    derived = workshop.derive(scan)[1]
    source = scan.instances[0]
    asked = OutputOptions(compression="jpeg-ls", image_type="PRIMARY")
    problems = check_derived(source.header, read_slice(source), Path(derived.filename), asked)
    assert problems == [
        "the transfer syntax is not JPEG-LS Lossless Image Compression",
        "ImageType is not DERIVED/PRIMARY/AXIAL",
    ]


@pytest.mark.parametrize("kind", [name for name in KINDS if "private" in KINDS[name]])
def test_private_attributes_stay_where_they_are_listed(workshop: Workshop, kind: str) -> None:
    scan = workshop.make(kind)
    listed = ('0029,"TEST MAKER HEADER",11', "(0031,TEST MAKER NESTED,01)")
    recipe = workshop.recipe(output=OutputOptions(keep_private=listed))
    for ds in workshop.derive(scan, recipe=recipe).values():
        private = [element.tag for element in ds if element.tag.is_private]
        assert private == [Tag(0x0029, 0x0010), Tag(0x0029, 0x1011)]
        assert ds[0x0029, 0x1011].value == "private text"
        nested = ds.RequestAttributesSequence[0]
        assert nested[0x0031, 0x1001].value == "nested"
        assert nested[0x0031, 0x0010].value == "TEST MAKER NESTED"


def test_another_creator_or_element_is_not_listed(workshop: Workshop) -> None:
    scan = workshop.make(private=True)
    listed = ("0029,TEST MAKER,11", "0029,TEST MAKER HEADER,12", "0031,TEST MAKER HEADER,10")
    recipe = workshop.recipe(output=OutputOptions(keep_private=listed))
    for ds in workshop.derive(scan, recipe=recipe).values():
        assert not [element.tag for element in ds.iterall() if element.tag.is_private]


def test_a_private_attribute_too_many_is_caught(workshop: Workshop) -> None:
    scan = workshop.make(slices=1, private=True)
    options = OutputOptions(keep_private=("0029,TEST MAKER HEADER,11",))
    derived = workshop.derive(scan, recipe=workshop.recipe(output=options))[1]
    derived.add_new(0x00291010, "OB", b"\1\2")
    derived.save_as(derived.filename)
    source = scan.instances[0]
    problems = check_derived(source.header, read_slice(source), Path(derived.filename), options)
    assert len(problems) == 1
    assert "(0029,1010) is still there" in problems[0]


@pytest.mark.parametrize("size", [(31, 40), (1, 1), (32, 32)])
def test_jpeg_2000_of_a_small_matrix_is_refused_in_plain_words(
    workshop: Workshop, size: tuple[int, int]
) -> None:
    scan = workshop.make(slices=1, rows=size[0], columns=size[1])
    recipe = workshop.recipe(output=OutputOptions("jpeg-2000"))
    if size == (32, 32):
        assert len(workshop.derive(scan, recipe=recipe)) == 1
        return
    with pytest.raises(WriteError) as caught:
        workshop.derive(scan, recipe=recipe)
    assert caught.value.reason == f"{size[0]} x {size[1]} pixels are too few for JPEG 2000"
    assert caught.value.remedy == "Give another compression"
    assert caught.value.path == scan.instances[0].path


def test_primary_by_option(workshop: Workshop) -> None:
    recipe = workshop.recipe(output=OutputOptions(image_type="PRIMARY"))
    ds = workshop.derive(workshop.make(), recipe=recipe)[1]
    assert list(ds.ImageType) == ["DERIVED", "PRIMARY", "AXIAL"]


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "jpeg"},
        {"image_type": "ORIGINAL"},
        {"keep_private": ("0028,X,10",)},
        {"keep_private": ("0029,X",)},
        {"keep_private": ("everything",)},
    ],
)
def test_other_choices_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        OutputOptions(**options)  # type: ignore[arg-type]


def test_every_choice_makes_another_recipe(workshop: Workshop) -> None:
    choices = [
        OutputOptions(),
        OutputOptions(compression="rle"),
        OutputOptions(image_type="PRIMARY"),
        OutputOptions(keep_private=("0029,X,10",)),
    ]
    assert len({workshop.recipe(output=one).canonical() for one in choices}) == len(choices)


def test_pydicom_reads_what_was_listed(workshop: Workshop) -> None:
    scan = workshop.make(private=True, transfer_syntax="1.2.840.10008.1.2")
    options = OutputOptions(keep_private=("0029,TEST MAKER HEADER,10",))
    ds = workshop.derive(scan, recipe=workshop.recipe(output=options))[1]
    again = pydicom.dcmread(ds.filename)
    assert again[0x0029, 0x1010].value == b"\1\2\3\4"
