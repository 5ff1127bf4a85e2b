"""Writes series whose dose was lowered by simulation, marked as such (DICOM.md, part A)."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from pydicom import Dataset
from pydicom.uid import UID, CTImageStorage

from ldct_clipdn import __version__
from ldct_clipdn.errors import WriteError
from ldct_clipdn.io.attributes import items, quiet_pydicom, text, texts
from ldct_clipdn.io.codes import PRODUCT, SYNTHESIZING_EQUIPMENT
from ldct_clipdn.io.derive import describe_words, native_words
from ldct_clipdn.io.dicom_write import sync_folder
from ldct_clipdn.io.keep import copy_kept
from ldct_clipdn.io.layout import pixel_layout
from ldct_clipdn.io.output import DEFAULT_OUTPUT
from ldct_clipdn.io.provenance import MANUFACTURER, file_meta, set_clock, source_reference
from ldct_clipdn.io.store import explained, store
from ldct_clipdn.io.stored import to_stored
from ldct_clipdn.io.uids import NAMESPACE, identity, pixel_digest, study_uid

if TYPE_CHECKING:
    from ldct_clipdn.io.scan import Result, Scan

__all__ = ["SimulationRecipe", "write_simulated"]

LONGEST_LO: Final = 64
LONGEST_ST: Final = 1024


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
            f"{PRODUCT} {__version__}: low dose simulated by adding noise, {self.dose:.4g} of the "
            f"dose of the source; tube current, exposure and dose attributes are the source's; "
            f"kernel {self.kernel}, photons {self.photons}, seed {self.seed}; research use only"
        )


def write_simulated(
    scan: Scan,
    results: Iterable[Result],
    target: Path,
    recipe: SimulationRecipe,
    *,
    time: datetime,
    number: int,
) -> Path:
    """Write a simulated series, all or nothing.

    Parameters
    ----------
    scan
        The source.
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

    Returns
    -------
    Path
        The folder, named by the series' UID; files are named by their SOP UIDs.

    Raises
    ------
    WriteError
        When a file cannot be written, or the series is there already.
    """
    sources = sorted(identity(one) for one in scan.instances)
    uid = _uid("simulated series", scan.source_uid, scan.split_key, *sources, _words(recipe))
    folder = target / uid
    if folder.exists():
        raise WriteError("this series is there already", path=folder, remedy="Move it away")
    try:
        with TemporaryDirectory(prefix=f".{uid}.", dir=target) as outer, quiet_pydicom():
            hidden = Path(outer) / uid
            hidden.mkdir()
            for result in results:
                with explained(result.instance.path):
                    ds = _simulated_image(result, recipe, uid)
                    ds.SeriesNumber = number
                    if not text(ds, "StudyInstanceUID"):
                        ds.StudyInstanceUID = study_uid(scan)
                    set_clock(ds, time)
                    store(ds, hidden / f"{ds.SOPInstanceUID}.dcm", DEFAULT_OUTPUT)
            sync_folder(hidden)
            hidden.rename(folder)
            sync_folder(target)
    except OSError as error:
        raise WriteError(
            f"the series cannot be written: {error.strerror or error}",
            path=folder,
            remedy="Check free space and permissions",
        ) from error
    return folder


def _simulated_image(result: Result, recipe: SimulationRecipe, series_uid: str) -> Dataset:
    instance, before, hu = result.instance, result.before, result.hu
    layout = pixel_layout(instance.header)
    stored = to_stored(before, hu, instance.header)
    ds = copy_kept(instance.header, DEFAULT_OUTPUT.private_tags)
    ds.PixelData = native_words(stored, layout)
    ds["PixelData"].VR = "OW"
    describe_words(ds, instance, layout, (int(stored.min()), int(stored.max())))
    ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
    ds.SOPInstanceUID = _uid(
        "simulated image",
        identity(instance),
        pixel_digest(before.stored),
        _words(recipe),
        hashlib.sha256(ds.PixelData).hexdigest(),
    )
    ds.SeriesInstanceUID = series_uid
    _mark(ds, recipe)
    if instance.sop_uid:
        ds.SourceImageSequence = [source_reference(instance)]
    ds.file_meta = file_meta(ds)
    return ds


def _mark(ds: Dataset, recipe: SimulationRecipe) -> None:
    """Say in every place that people and programs look at that this is a simulation."""
    ds.ImageType = ["DERIVED", "SECONDARY", *texts(ds, "ImageType")[2:3]]
    mark = f" [SIMULATED {100 * recipe.dose:.3g}% DOSE]"
    described = text(ds, "SeriesDescription").replace("\\", " ")[: LONGEST_LO - len(mark)]
    ds.SeriesDescription = (described + mark).strip()
    ds.SyntheticData = "YES"
    ds.ContentQualification = "RESEARCH"
    own = str(recipe)
    old = text(ds, "DerivationDescription")[: LONGEST_ST - len(own) - 2]
    ds.DerivationDescription = f"{old}; {own}" if old else own
    ds.ContributingEquipmentSequence = [
        *items(ds, "ContributingEquipmentSequence"),
        _equipment(recipe),
    ]


def _equipment(recipe: SimulationRecipe) -> Dataset:
    item = Dataset()
    item.Manufacturer, item.ManufacturerModelName = MANUFACTURER, PRODUCT
    item.SoftwareVersions = __version__
    item.ContributionDescription = str(recipe)
    item.PurposeOfReferenceCodeSequence = [SYNTHESIZING_EQUIPMENT.item()]
    return item


def _words(recipe: SimulationRecipe) -> str:
    return json.dumps(asdict(recipe), sort_keys=True)


def _uid(*parts: str) -> UID:
    return UID(f"2.25.{uuid.uuid5(NAMESPACE, json.dumps(parts)).int}")
