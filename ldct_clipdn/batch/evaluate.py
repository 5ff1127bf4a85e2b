"""Measures results against references, slice by slice, with every ruler that papers use."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple

from ldct_clipdn.core.metrics import Mean, Ruler, Scores, mean_scores
from ldct_clipdn.core.whole_file import system_words
from ldct_clipdn.data.pairs import Pair
from ldct_clipdn.errors import DataError, WriteError

__all__ = ["Evaluation", "SliceScores", "evaluate_pairs"]

INPUT: Final = "input"
RESULT: Final = "result"

CSV_VALUES: Final = ("PSNR dB", "SSIM", "RMSE HU")
"""Columns of one ruler, in the order of `Scores`."""


class SliceScores(NamedTuple):
    """What all rulers say of one slice.

    Parameters
    ----------
    name
        Of the slice.
    scores
        By image (`input`, `result`) and ruler.
    """

    name: str
    scores: dict[tuple[str, str], Scores]


@dataclass(frozen=True)
class Evaluation:
    """What all rulers say of all slices.

    Parameters
    ----------
    images
        `input` where there is one, and `result`.
    rulers
        How it was measured.
    slices
        One value per slice.
    """

    images: tuple[str, ...]
    rulers: tuple[Ruler, ...]
    slices: tuple[SliceScores, ...]

    def mean(self, image: str, ruler: str) -> Mean:
        """Average over slices.

        Parameters
        ----------
        image
            `result` or `input`.
        ruler
            A ruler's name.

        Returns
        -------
        Mean
            PSNR in dB over the slices where it is finite, SSIM, RMSE in HU.
        """
        return mean_scores(one.scores[image, ruler] for one in self.slices)

    def to_dict(self) -> dict[str, object]:
        """Turn it into what JSON can hold; infinite PSNR becomes None.

        Returns
        -------
        dict
            `rulers`, `mean` and `slices`.
        """
        return {
            "rulers": [asdict(ruler) for ruler in self.rulers],
            "mean": {
                image: {one.name: _plain(self.mean(image, one.name)) for one in self.rulers}
                for image in self.images
            },
            "slices": [
                {"slice": one.name}
                | {
                    image: {r.name: _plain(one.scores[image, r.name]) for r in self.rulers}
                    for image in self.images
                }
                for one in self.slices
            ],
        }

    def write_csv(self, path: Path) -> None:
        """Write one line per slice and image.

        Parameters
        ----------
        path
            The file.

        Raises
        ------
        WriteError
            When it cannot be written.
        """
        columns = [f"{ruler.name} {what}" for ruler in self.rulers for what in CSV_VALUES]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["slice", "image", *columns])
                for one in self.slices:
                    for image in self.images:
                        scores = (one.scores[image, ruler.name] for ruler in self.rulers)
                        writer.writerow([one.name, image, *(v for each in scores for v in each)])
        except OSError as error:
            raise WriteError(
                f"the table cannot be written: {system_words(error)}",
                path=path,
                remedy="Check folder, rights and free space",
            ) from error


def evaluate_pairs(pairs: Iterable[Pair], rulers: Sequence[Ruler]) -> Evaluation:
    """Measure slice by slice; one pair at a time is in memory.

    Parameters
    ----------
    pairs
        As `find_pairs` gives them.
    rulers
        How to measure.

    Returns
    -------
    Evaluation
        One value per slice and ruler, for the result and, where it is given, the input.

    Raises
    ------
    ReadError
        When a slice cannot be read.
    DataError
        When there is no pair, or slices of a pair differ in size or are too small.
    """
    slices = tuple(SliceScores(pair.name, _scores(pair, rulers)) for pair in pairs)
    if not slices:
        raise DataError("there are no slices to measure")
    images = dict.fromkeys(image for image, _ in slices[0].scores)
    return Evaluation(tuple(images), tuple(rulers), slices)


def _scores(pair: Pair, rulers: Sequence[Ruler]) -> dict[tuple[str, str], Scores]:
    reference = pair.reference()
    images = ({INPUT: pair.noisy()} if pair.noisy else {}) | {RESULT: pair.result()}
    try:
        return {
            (image, ruler.name): ruler.score(hu, reference)
            for image, hu in images.items()
            for ruler in rulers
        }
    except DataError as error:
        raise DataError(f"slice {pair.name}: {error.reason}", remedy=error.remedy) from error


def _plain(scores: Scores | Mean) -> dict[str, float | None]:
    return {
        name: value if math.isfinite(value) else None for name, value in scores._asdict().items()
    }
