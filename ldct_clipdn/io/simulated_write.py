"""Writes series whose dose was lowered by simulation, marked as such (docs/conformance.md)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage

from ldct_clipdn import __version__
from ldct_clipdn.io.attributes import items, quiet_pydicom, text, texts
from ldct_clipdn.io.check_pixels import Pair
from ldct_clipdn.io.codes import PRODUCT, SYNTHESIZING_EQUIPMENT
from ldct_clipdn.io.derive import describe_words, native_words
from ldct_clipdn.io.dicom_check import (
    CHANGED,
    IMAGE_CHECKS,
    Check,
    check_derived,
    check_equipment,
    check_kept,
)
from ldct_clipdn.io.kept_attributes import copy_kept, derived_type
from ldct_clipdn.io.output import DEFAULT_OUTPUT
from ldct_clipdn.io.pixel_layout import pixel_layout
from ldct_clipdn.io.provenance import (
    append_description,
    equipment_item,
    file_meta,
    incompleteness,
    mark_description,
    set_clock,
    set_source,
)
from ldct_clipdn.io.store import (
    explained,
    name_folder,
    on_disk,
    refuse,
    refuse_taken,
    store,
)
from ldct_clipdn.io.stored_values import to_stored
from ldct_clipdn.io.uids import identity, image_uid, make_uid, pixel_digest, study_uid

if TYPE_CHECKING:
    from ldct_clipdn.io.scan import Result, Scan

__all__ = ["SimulationRecipe", "is_simulated", "read_remarks", "simulated_uid", "write_simulated"]

LONGEST_MARK: Final = 1000
"""Characters of a DerivationDescription (ST, 1024) that ours may take."""

SIMULATED: Final = "SIMULATED"
ADDED_NOISE: Final = "low dose simulated by adding noise"
"""What every DerivationDescription of ours says, and no other."""


@dataclass(frozen=True)
class SimulationRecipe:
    """What decides a simulated series, beside its source.

    Parameters
    ----------
    dose
        Share of the source's dose.
    kernel, photons, seed
        As for `simulate_low_dose`.
    """

    dose: float
    kernel: str = "auto"
    photons: str | float = "auto"
    seed: int = 0

    def __str__(self) -> str:
        return (
            f"{PRODUCT} {__version__}: {ADDED_NOISE}, {self.dose:.4g} of the "
            f"dose of the source; tube current, exposure and dose attributes are the source's; "
            f"kernel {self.kernel}, photons {self.photons}, seed {self.seed}; research use only"
        )


def is_simulated(header: Dataset) -> bool:
    """Say whether an image is low dose that `write_simulated` wrote, or was made of one.

    Parameters
    ----------
    header
        Of the image.

    Returns
    -------
    bool
        By its DerivationDescription.
    """
    return ADDED_NOISE in text(header, "DerivationDescription")


def write_simulated(
    scan: Scan,
    results: Iterable[Result],
    target: Path,
    recipe: SimulationRecipe,
    *,
    time: datetime,
    number: int,
    remarks: Sequence[str] = (),
) -> Path:
    """Write a simulated series, all or nothing.

    Parameters
    ----------
    scan
        The source; where images of it are lost, the simulated series is marked as incomplete.
    results
        New HU of every image.
    target
        Folder in which the series' folder is made.
    recipe
        What was simulated.
    time
        The time of all clock attributes.
    number
        SeriesNumber of the simulated series.
    remarks
        What else its images have to say: the noise that was found, and what is doubtful.

    Returns
    -------
    Path
        The folder, named by the series' UID; files are named by their SOP UIDs.

    Raises
    ------
    WriteError
        When a file cannot be written, a check fails, or the series is there already.
    """
    folder = target / simulated_uid(scan, recipe)
    refuse_taken(folder)
    words = "; ".join((str(recipe), *remarks))
    series = _Series(folder.name, scan, recipe, words, time, number)
    with on_disk(folder), quiet_pydicom(), _unfinished(folder) as outer:
        hidden = Path(outer) / series.uid
        hidden.mkdir()
        for result in results:
            _write_image(result, series, hidden)
        name_folder(hidden, folder)
    return folder


def simulated_uid(scan: Scan, recipe: SimulationRecipe) -> str:
    """Name a simulated series.

    Parameters
    ----------
    scan
        The source; what is lost of it makes another name than the whole.
    recipe
        What is simulated.

    Returns
    -------
    str
        A UID of the form 2.25; another version of this package gives another.
    """
    sources = sorted(identity(one) for one in scan.instances)
    parts = scan.source_uid, scan.split_key, str(scan.lost), *sources
    decided = json.dumps({**asdict(recipe), "package": __version__}, sort_keys=True)
    return make_uid("simulated series", *parts, decided)


def read_remarks(header: Dataset, recipe: SimulationRecipe) -> str:
    """Read what an image that `write_simulated` wrote has to say beside its recipe.

    Parameters
    ----------
    header
        Of the image.
    recipe
        What was simulated.

    Returns
    -------
    str
        Its remarks, `; ` between them; the end may be cut off. Empty where it has none.
    """
    start = f"{recipe}; "
    equipment = reversed(items(header, "ContributingEquipmentSequence"))  # ours comes last
    told = (text(one, "ContributionDescription") for one in equipment)
    return next((one for one in told if one.startswith(start)), "").removeprefix(start)


class _Series(NamedTuple):
    """What all images of one simulated series share."""

    uid: str
    scan: Scan
    recipe: SimulationRecipe
    words: str
    time: datetime
    number: int


def _unfinished(folder: Path) -> TemporaryDirectory[str]:
    """Make a place to write, under a name that the next run clears."""
    return TemporaryDirectory(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent)


def _write_image(result: Result, series: _Series, folder: Path) -> None:
    """Write one image and check it."""
    instance, before = result.instance, result.before
    with explained(instance.path):
        ds = _simulated_image(result, series.uid)
        _mark(ds, series.words)
        _place(ds, series)
        path = folder / f"{ds.SOPInstanceUID}.dcm"
        store(ds, path, DEFAULT_OUTPUT)
    refuse(check_derived(instance.header, before, path, checks=CHECKS), instance.path)


def _simulated_image(result: Result, series_uid: str) -> Dataset:
    instance, before, hu = result.instance, result.before, result.hu
    layout = pixel_layout(instance.header)
    stored = to_stored(before, hu, instance.header)
    ds = copy_kept(instance.header, DEFAULT_OUTPUT.private_tags)
    ds.PixelData = native_words(stored, layout)
    ds["PixelData"].VR = "OW"
    describe_words(ds, instance, layout, (int(stored.min()), int(stored.max())))
    ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
    source = identity(instance), pixel_digest(before.stored)
    digest = hashlib.sha256(ds.PixelData).hexdigest()
    ds.SOPInstanceUID = image_uid(series_uid, *source, digest)
    ds.SeriesInstanceUID = series_uid
    set_source(ds, instance)
    ds.file_meta = file_meta(ds)
    return ds


def _mark(ds: Dataset, words: str) -> None:
    """Say in every place that programs look at that this is a simulation."""
    ds.ImageType = derived_type(texts(ds, "ImageType"), DEFAULT_OUTPUT.image_type)
    ds.SyntheticData = "YES"
    ds.ContentQualification = "RESEARCH"
    append_description(ds, words[:LONGEST_MARK])
    equipment = equipment_item(SYNTHESIZING_EQUIPMENT, words)
    known = items(ds, "ContributingEquipmentSequence")
    ds.ContributingEquipmentSequence = [*known, equipment]


def _place(ds: Dataset, series: _Series) -> None:
    """Say the same in the one line that every viewer shows, and where the image belongs."""
    dose = f"[{SIMULATED} {100 * series.recipe.dose:.3g}% DOSE]"
    mark_description(ds, " ".join(filter(None, (incompleteness(series.scan), dose))))
    ds.SeriesNumber = series.number
    set_clock(ds, series.time)
    if not text(ds, "StudyInstanceUID"):
        ds.StudyInstanceUID = study_uid(series.scan)


def _check_marks(pair: Pair) -> Iterator[str]:
    if text(pair.derived, "SyntheticData") != "YES":
        yield "SyntheticData is not YES"
    if SIMULATED not in text(pair.derived, "SeriesDescription"):
        yield "SeriesDescription does not say that it is simulated"
    if PRODUCT not in text(pair.derived, "DerivationDescription"):
        yield "DerivationDescription does not name this package"


SIMULATION_CHANGED: Final = CHANGED - {Tag("DerivationCodeSequence")} | {Tag("SyntheticData")}
"""No code stands for added noise: those of the source are kept."""

CHECKS: Final[tuple[Check, ...]] = (
    *IMAGE_CHECKS,
    _check_marks,
    partial(check_equipment, purpose=SYNTHESIZING_EQUIPMENT),
    partial(check_kept, changed=SIMULATION_CHANGED),
)
