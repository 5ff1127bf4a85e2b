"""The matrix's columns: input, classic filters at a chosen and at their best strength, networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ldct_clipdn.bench.cases import Case, leaving_out, read_case, simulation_of
from ldct_clipdn.bench.classic import BLENDS, CLASSIC, Filter, every_setting
from ldct_clipdn.bench.contestants import denoise_as_shipped
from ldct_clipdn.bench.fair import FairSet
from ldct_clipdn.bench.peers import open_ct_network
from ldct_clipdn.bench.results import make_folder, write_text
from ldct_clipdn.errors import DataError
from ldct_clipdn.inference.backends.torch_eager import TorchBackend

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]

__all__ = [
    "INPUT_COLUMN",
    "ORACLE",
    "Answer",
    "Column",
    "choose_strengths",
    "chosen_columns",
    "known_strengths",
    "network_column",
    "oracle_columns",
]

INPUT: Final = "input"

ORACLE: Final = "oracle"
"""Said after a filter's name where its strength was chosen on the very slices it is judged on."""


class Answer(NamedTuple):
    """What a column made of a case.

    Parameters
    ----------
    hu
        [Z, H, W] in HU.
    setting
        What it was set to, or empty.
    """

    hu: Volume
    setting: str = ""


@dataclass(frozen=True)
class Column:
    """One way of denoising.

    Parameters
    ----------
    name
        Heading.
    kind
        `input`, `oracle`, `filter` or `network`.
    denoise
        A case's slices to the answer, or DataError where it has none; of the fair set only an
        oracle may use more than `quarter`.
    settings
        What the answer depends on.
    """

    name: str
    kind: str
    denoise: Callable[[FairSet], Answer] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Short digest of name and settings: rows of another version are out of date."""
        text = json.dumps([self.name, self.settings], sort_keys=True)
        return sha256(text.encode()).hexdigest()[:12]


INPUT_COLUMN: Final = Column(INPUT, INPUT, lambda fair: Answer(fair.quarter))


def oracle_columns() -> list[Column]:
    """Make the columns that no filter passes: each at its best strength and blend on each case.

    Returns
    -------
    list of Column
        One per classic filter.
    """
    return [
        Column(
            f"{one.name} ({ORACLE})",
            ORACLE,
            lambda fair, one=one: _best(one, fair),  # type: ignore[misc]
            {"strengths": list(one.strengths), "blends": list(BLENDS)},
        )
        for one in CLASSIC
    ]


def chosen_columns(strengths: Mapping[str, float]) -> list[Column]:
    """Make the columns of filters that know the noise's level and nothing else of the case.

    Parameters
    ----------
    strengths
        By filter, as `choose_strengths` gives them.

    Returns
    -------
    list of Column
        One per filter.
    """
    return [
        Column(
            one.name,
            "filter",
            lambda fair, one=one: _filtered(one, strengths[one.name], fair),  # type: ignore[misc]
            {"strength": strengths[one.name]},
        )
        for one in CLASSIC
        if one.name in strengths
    ]


def choose_strengths(
    cases: Iterable[Case], say: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Find each filter's one strength: the highest mean share of removed error, without blends.

    Parameters
    ----------
    cases
        To choose on.
    say
        Told of every case.

    Returns
    -------
    dict
        By filter.

    Raises
    ------
    DataError
        When nothing can be measured on these cases.
    """
    removed: dict[str, list[list[float]]] = {one.name: [] for one in CLASSIC}
    for case in cases:
        say(f"choosing strengths on {case.series}, dose {case.dose}")
        with leaving_out(say):
            fair = FairSet(*read_case(case))
            noise = _known_noise(fair)
            for one in CLASSIC:
                tried = every_setting(one, fair.quarter, noise, blends=(0.0,))
                removed[one.name].append([fair.removed(candidate.result) for candidate in tried])
    if not all(removed.values()):
        raise DataError("there is no series to choose strengths on that can be measured")
    return {
        one.name: one.strengths[int(np.argmax(np.mean(removed[one.name], axis=0)))]
        for one in CLASSIC
    }


def known_strengths(
    cases: Sequence[Case], folder: Path, say: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Choose strengths, or take those that were chosen on the same slices before.

    Parameters
    ----------
    cases
        To choose on.
    folder
        Keeps them, in `strengths.json`.
    say
        Told of every case.

    Returns
    -------
    dict
        By filter.

    Raises
    ------
    DataError
        When nothing can be measured on these cases.
    WriteError
        When the folder cannot be written.
    """
    path = folder / "strengths.json"
    chosen_on = [[case.series, case.dose, _noise_of(case), *case.names] for case in cases]
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["chosen_on"] == chosen_on and set(known["strengths"]) == {f.name for f in CLASSIC}:
            return dict(known["strengths"])
    make_folder(folder)
    strengths = choose_strengths(cases, say)
    record = {"strengths": strengths, "chosen_on": chosen_on}
    write_text(path, json.dumps(record, indent=2) + "\n")
    return strengths


def network_column(text: str, device: torch.device) -> Column:
    """Make a column of a network, applied as `ldct-clipdn denoise` does at strength 1.

    Parameters
    ----------
    text
        `FILE`, `NAME=FILE`, or a known name such as `default`: a denoiser of this package, or
        another network that the bundle trained.
    device
        Where it goes.

    Returns
    -------
    Column
        Named as asked, else by its file.

    Raises
    ------
    WeightsError
        When the weights cannot be used.
    """
    name, _, path = text.rpartition("=")
    network, info = open_ct_network(path)
    backend = TorchBackend(network, info, device)  # type: ignore[arg-type]  # a peer will do
    return Column(
        name or Path(info.name).stem,
        "network",
        lambda fair: Answer(denoise_as_shipped(fair.quarter, backend)),
        {"file": info.name, "sha256": info.sha256, "encoder": info.encoder},
    )


def _noise_of(case: Case) -> str:
    """Say which simulation a case's noise is of; empty of a real dose."""
    simulation = simulation_of(case)
    return "" if simulation is None else simulation.digest


def _known_noise(fair: FairSet) -> float:
    """Give the noise that a filter knows which has nothing but the low dose."""
    noise = fair.read_noise_hu
    if not np.isfinite(noise):
        raise DataError("the low dose has too little soft tissue to read the noise from")
    return noise


def _filtered(one: Filter, strength: float, fair: FairSet) -> Answer:
    noise = _known_noise(fair)
    hu = np.stack([one.apply(plane, noise, strength) for plane in fair.quarter])
    return Answer(hu, f"strength {strength:.3g}")


def _best(one: Filter, fair: FairSet) -> Answer:
    tried = every_setting(one, fair.quarter, fair.noise_hu)
    best = min(tried, key=lambda candidate: fair.error(candidate.result))
    return Answer(best.result, f"strength {best.strength:.3g}, blend {best.blend:g}")
