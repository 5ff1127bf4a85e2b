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
from typing import TYPE_CHECKING, Final

from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage

from ldct_clipdn import __version__
from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.attributes import items, quiet_pydicom, text, texts
from ldct_clipdn.io.check_pixels import Pair
from ldct_clipdn.io.codes import PRODUCT, SYNTHESIZING_EQUIPMENT
from ldct_clipdn.io.derive import describe_words, native_words
from ldct_clipdn.io.dicom_check import (
    CHANGED,
    IMAGE_CHECKS,
    Check,
    check_data_set,
    check_equipment,
    check_kept,
)
from ldct_clipdn.io.dicom_read import read_file
from ldct_clipdn.io.dicom_write import sync_folder
from ldct_clipdn.io.keep import copy_kept, derived_type
from ldct_clipdn.io.layout import pixel_layout
from ldct_clipdn.io.output import DEFAULT_OUTPUT
from ldct_clipdn.io.provenance import (
    append_description,
    equipment_item,
    file_meta,
    incompleteness,
    mark_description,
    set_clock,
    set_source,
)
from ldct_clipdn.io.store import explained, refuse, store
from ldct_clipdn.io.stored import to_stored
from ldct_clipdn.io.uids import identity, make_uid, pixel_digest, study_uid

if TYPE_CHECKING:
    from ldct_clipdn.io.scan import Result, Scan

__all__ = ["SimulationRecipe", "is_simulated", "write_simulated"]

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
    sources = sorted(identity(one) for one in scan.instances)
    parts = scan.source_uid, scan.split_key, str(scan.lost), *sources
    uid = make_uid("simulated series", *parts, _words(recipe))
    folder = target / uid
    if folder.exists():
        raise WriteError("this series is there already", path=folder, remedy="Move it away")
    try:
        with TemporaryDirectory(prefix=f".{uid}.", dir=target) as outer, quiet_pydicom():
            hidden = Path(outer) / uid
            hidden.mkdir()
            for result in results:
                with explained(result.instance.path):
                    ds = _simulated_image(result, uid)
                    _mark(ds, "; ".join((str(recipe), *remarks)))
                    _place(ds, scan, recipe, number)
                    set_clock(ds, time)
                    path = hidden / f"{ds.SOPInstanceUID}.dcm"
                    store(ds, path, DEFAULT_OUTPUT)
                refuse(_problems(result, path), result.instance.path)
            sync_folder(hidden)
            hidden.rename(folder)
            sync_folder(target)
    except OSError as error:
        raise WriteError(
            f"the series cannot be written: {system_words(error)}",
            path=folder,
            remedy="Check free space and permissions",
        ) from error
    return folder


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
    ds.SOPInstanceUID = make_uid("simulated image", series_uid, *source, digest)
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


def _place(ds: Dataset, scan: Scan, recipe: SimulationRecipe, number: int) -> None:
    """Say the same in the one line that every viewer shows, and where the image belongs."""
    mark_description(ds, " ".join(filter(None, (incompleteness(scan), _dose_mark(recipe)))))
    ds.SeriesNumber = number
    if not text(ds, "StudyInstanceUID"):
        ds.StudyInstanceUID = study_uid(scan)


def _dose_mark(recipe: SimulationRecipe) -> str:
    return f"[{SIMULATED} {100 * recipe.dose:.3g}% DOSE]"


def _words(recipe: SimulationRecipe) -> str:
    return json.dumps({**asdict(recipe), "package": __version__}, sort_keys=True)


def _problems(result: Result, path: Path) -> list[str]:
    """Check one simulated file as every derived one is checked."""
    header, output = result.instance.header, DEFAULT_OUTPUT
    return check_data_set(header, result.before, read_file(path), output, path, CHECKS)


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
