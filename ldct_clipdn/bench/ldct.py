"""Table 3: low-dose CT, measured on real pairs by the paper's ruler and by its mistaken one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice, product
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from ldct_clipdn.bench.experiment import (
    Progress,
    RunSettings,
    device_name,
    require_names_differ,
)
from ldct_clipdn.bench.kept_strips import keep_strip
from ldct_clipdn.bench.peers import Peer, open_ct_network
from ldct_clipdn.bench.published import Published, published_scores
from ldct_clipdn.bench.record import files_sha256, known_counterparts, open_results
from ldct_clipdn.bench.results import Key, Results, Row
from ldct_clipdn.bench.strips import Panel, ct_panels
from ldct_clipdn.bench.tables import Table, make_table, write_table
from ldct_clipdn.core.metrics import AS_PUBLISHED, RULERS
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.data.doses import DosePair, match_doses
from ldct_clipdn.data.slices import CTSlice, find_slices, read_frames
from ldct_clipdn.errors import ConfigError, DataError
from ldct_clipdn.inference.denoise import trained_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    HU = NDArray[np.float32]

__all__ = ["CTMethod", "make_ct_method", "run_ldct"]

TABLE: Final = 3

PAPER_SLICES: Final = 526
PAPER_MM: Final = 1.0
PAPER_KERNEL: Final = "B30"
"""What Table 3 is of; the kernel stands in the published code alone, which picks files by it."""

_RULERS: Final = {
    "range 3072": next(ruler for ruler in RULERS if ruler.name == "paper"),
    "range 3096": AS_PUBLISHED,
}
"""The paper's script takes 3096 for 3072, and does not say which made Table 3."""


@dataclass(frozen=True)
class CTMethod:
    """One column of Table 3.

    Parameters
    ----------
    name
        Heading.
    denoise
        Low-dose slice [H, W] in HU to denoised.
    settings
        What its results depend on.
    counterpart
        The printed method it is compared with; empty for none.
    """

    name: str
    denoise: Callable[[HU], HU]
    settings: Mapping[str, Any]
    counterpart: str = ""


def make_ct_method(text: str, device: torch.device) -> CTMethod:
    """Make a column from how it is named on the command line.

    Parameters
    ----------
    text
        `noisy`, `tv:STRENGTH` (on the [0, 1] scale of the range), or `weights:FILE` or
        `weights:NAME=FILE`, of a denoiser or of another network that the bundle trained.
    device
        Where a network goes.

    Returns
    -------
    CTMethod
        The column.

    Raises
    ------
    ConfigError
        When it names nothing that can be used.
    WeightsError
        When a weights file cannot be used.
    """
    kind, _, rest = text.partition(":")
    if text == "noisy":
        return CTMethod("noisy", lambda hu: hu, {})
    if kind == "tv" and rest.replace(".", "", 1).isdigit():
        return _total_variation(float(rest))
    if kind == "weights" and rest:
        return _network(rest, device)
    raise ConfigError(
        f"there is no method {text!r} for CT",
        remedy="Give noisy, tv:STRENGTH or weights:FILE",
    )


def run_ldct(
    dataset_dir: Path,
    methods: Sequence[CTMethod],
    folder: Path,
    settings: RunSettings,
    *,
    patients: Sequence[str] = (),
    limit: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Table:
    """Measure methods on every real pair and write the table, a line per series and ruler.

    Parameters
    ----------
    dataset_dir
        Any data that the training understands, with both doses.
    methods
        Columns; networks are used plainly, as published: no strength, no limits but the ruler's.
    folder
        Gets `scores.csv`, `run.json`, `table.md`, `table.csv`, `strips/`.
    settings
        Device; for how many pairs of each patient and kernel a comparison strip is drawn.
    patients
        Only these; all where empty. The paper's is L506.
    limit
        Only so many pairs of each patient and kernel, for a first look.
    resume
        Go on with what is in the folder.
    progress
        Told of every slice.

    Returns
    -------
    Table
        Everything measured in the folder, with Table 3 beside L506; the difference where the
        slices are the paper's.

    Raises
    ------
    ConfigError
        When two methods have one name, or as for `open_results`.
    DataError
        When there is no pair of these patients.
    """
    pairs = _pairs(dataset_dir, patients, limit)
    require_names_differ("methods", methods, "Name them on the command line: NAME=FILE")
    results = open_results(
        folder,
        {method.name: method.settings for method in methods},
        _contents(pairs),
        counterparts={method.name: method.counterpart for method in methods},
        device=device_name(settings.device),
        resume=resume,
    )
    total = len(pairs) * len(methods)
    for done, (pair, method) in enumerate(product(pairs, methods), start=1):
        _measure(pair, method, results)
        if progress is not None:
            progress(done, total, f"{pair.low.patient} {method.name}")
    for pair in _first_of_each_set(pairs, settings.strips):
        _keep_strip(pair, methods, folder)
    table = _table(pairs, results)
    write_table(table, folder)
    return table


def _table(pairs: Sequence[DosePair], results: Results) -> Table:
    return make_table(
        "Low-dose CT (Table 3)",
        results,
        _printed({_set_name(pair) for pair in pairs}),
        known_counterparts(results.folder),
        "ruler",
        _not_the_papers(pairs, results),
    )


def _contents(pairs: Iterable[DosePair]) -> dict[str, dict[str, str]]:
    digest = cache(lambda path: files_sha256([path]))  # a volume's once
    by_set: dict[str, dict[str, str]] = {}
    for pair in pairs:
        both = f"{digest(pair.low.path)} {digest(pair.normal.path)}"
        by_set.setdefault(_set_name(pair), {})[_slice_name(pair)] = both
    return by_set


def _pairs(root: Path, patients: Sequence[str], limit: int | None) -> list[DosePair]:
    found = match_doses(find_slices(root).slices).pairs
    chosen = [pair for pair in found if not patients or pair.low.patient in patients]
    if not chosen:
        known = ", ".join(sorted({pair.low.patient for pair in found})) or "none"
        raise DataError(
            f"no pair of low and normal dose of {', '.join(patients) or 'any patient'}",
            path=root,
            remedy=f"Patients with pairs: {known}; `ldct-clipdn data check` says what is there",
        )
    return _first_of_each_set(chosen, limit)


def _first_of_each_set(pairs: Iterable[DosePair], count: int | None) -> list[DosePair]:
    by_set: dict[str, list[DosePair]] = {}
    for pair in pairs:
        by_set.setdefault(_set_name(pair), []).append(pair)
    return [pair for group in by_set.values() for pair in group[:count]]


def _measure(pair: DosePair, method: CTMethod, results: Results) -> None:
    low, name = pair.low, _slice_name(pair)
    keys = {ruler: Key(_set_name(pair), ruler, method.name, name) for ruler in _RULERS}
    if all(key in results for key in keys.values()):
        return
    hu, reference = _read(low), _read(pair.normal)
    start = perf_counter()
    denoised = method.denoise(hu)
    seconds = perf_counter() - start
    if not np.isfinite(denoised).all():
        raise DataError(
            f"{method.name}: the denoiser made NaN or infinity of {name}",
            remedy="Check its weights",
        )
    for ruler, key in keys.items():
        scores = _RULERS[ruler].score(denoised, reference)
        results.add(Row(*key, "", scores.psnr, scores.ssim, seconds))


def _keep_strip(pair: DosePair, methods: Sequence[CTMethod], folder: Path) -> None:
    by_name = {method.name: method.denoise for method in methods}

    def draw() -> list[Panel]:
        return ct_panels(_read(pair.low), _read(pair.normal), by_name, _RULERS["range 3072"])

    place = f"{_set_name(pair)} {_slice_name(pair)}"
    keep_strip(folder, place, place, list(by_name), draw)


@lru_cache(maxsize=4)
def _read(one: CTSlice) -> HU:
    """Read one slice; the same pair is asked for once per method."""
    return next(islice(read_frames(one.path), one.frame, None))


def _slice_name(pair: DosePair) -> str:
    return f"{pair.low.path.stem}_{pair.low.frame}"


def _set_name(pair: DosePair) -> str:
    """Name a patient's series by what changes its noise."""
    low = pair.low
    thickness = "" if low.thickness_mm is None else f"{low.thickness_mm:g} mm"
    return " ".join(filter(None, (low.patient, low.kernel, thickness)))


def _printed(sets: Iterable[str]) -> dict[tuple[str, str, str], Published]:
    """Give Table 3 for the series of its patient, whatever the kernel and thickness."""
    return {
        (name, ruler, method): cell
        for (patient, _, method), cell in published_scores(TABLE).items()
        for name in sets
        for ruler in _RULERS
        if name.split()[0] == patient
    }


def _not_the_papers(pairs: Iterable[DosePair], results: Results) -> dict[str, str]:
    """Say of every set that is not what Table 3 is of what it is; prepared slices do not tell."""
    counts = Counter((row.set, row.condition, row.method) for row in results)
    notes = {}
    for name, low in {_set_name(pair): pair.low for pair in pairs}.items():
        fewest = min(count for (of_set, *_), count in counts.items() if of_set == name)
        alike = low.thickness_mm in (PAPER_MM, None) and low.kernel.startswith(PAPER_KERNEL)
        if fewest != PAPER_SLICES or not (alike or low.kind == "prepared"):
            notes[name] = (
                f"{fewest} slices; the paper's are the {PAPER_SLICES} of "
                f"{PAPER_MM:g} mm and kernel {PAPER_KERNEL}"
            )
    return notes


def _total_variation(strength: float) -> CTMethod:
    from skimage.restoration import denoise_tv_chambolle

    unit = HURange()

    def denoise(hu: HU) -> HU:
        filtered = denoise_tv_chambolle(unit.to_unit(hu), weight=strength)
        return np.asarray(unit.from_unit(filtered), dtype=np.float32)

    return CTMethod("TV", denoise, {"strength": strength}, "TV")


def _network(text: str, device: torch.device) -> CTMethod:
    name, _, path = text.rpartition("=")
    model, info = open_ct_network(path)
    model = model.to(device)
    unit = trained_range(info)

    @torch.inference_mode()
    def denoise(hu: HU) -> HU:
        image = torch.from_numpy(unit.to_unit(hu))[None, None].to(device)
        return np.asarray(unit.from_unit(model(image)[0, 0].float().cpu().numpy()))

    settings = {"sha256": info.sha256, "encoder": info.encoder, "config": model.config.to_dict()}
    counterpart = "" if isinstance(model, Peer) else "CLIPDenoising"
    return CTMethod(name or Path(info.name).stem, denoise, settings, counterpart)
