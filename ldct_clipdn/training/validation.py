"""How good the network is now: PSNR, SSIM and RMSE in HU, by patient, beside the noisy input's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.engines import Evaluator
from torch import Tensor

from ldct_clipdn.core.metrics import psnr, rmse, ssim
from ldct_clipdn.core.words import counted
from ldct_clipdn.ct.hu import HURange
from ldct_clipdn.data.mayo import LOW_DOSE, SYNTHETIC
from ldct_clipdn.training.progress import CsvLog, MeasureLog

__all__ = ["SliceScores", "ValidationLog"]

UNKNOWN: Final = "unknown"
MEASURES: Final = ("psnr", "ssim", "ssim_published", "rmse_hu")
COLUMNS: Final = (*MEASURES, *(f"input_{name}" for name in MEASURES))

Scores = dict[str, float]


class SliceScores(Metric):
    """Scores every validation slice in the published range.

    Image, label and prediction are brought to HU and limited to the range first, as published. Its
    value is the mean PSNR over the slices with synthetic noise, or over the real pairs where there
    are no others.

    Parameters
    ----------
    hu_range
        The range; its width is the data range of PSNR and SSIM.
    """

    def __init__(self, hu_range: HURange | None = None) -> None:
        self.range = hu_range or HURange()
        super().__init__()

    def reset(self) -> None:
        """Forget all slices."""
        self.slices: list[dict[str, Any]] = []

    def iteration_completed(self, engine: Engine) -> None:
        """Score one batch.

        Parameters
        ----------
        engine
            A MONAI evaluator with `decollate` off.
        """
        state: Any = engine.state
        output, batch = state.output, state.batch
        count = len(output["pred"])
        kinds = batch.get("set", [SYNTHETIC] * count)
        patients = batch.get("patient", [UNKNOWN] * count)
        files, frames = batch.get("source", [UNKNOWN] * count), batch.get("frame", [0] * count)
        for k in range(count):
            clean = self._to_hu(output["label"][k])
            scores = self._score(self._to_hu(output["pred"][k]), clean)
            before = self._score(self._to_hu(output["image"][k]), clean)
            self.slices.append(
                {
                    "set": kinds[k],
                    "patient": patients[k],
                    "slice": len(self.slices),
                    "file": files[k],
                    "frame": int(frames[k]),
                    **scores,
                    **{f"input_{name}": value for name, value in before.items()},
                }
            )

    def update(self, output: Any) -> None:
        """Do nothing: `iteration_completed` sees the batch, which this would not.

        Parameters
        ----------
        output
            Not used.
        """

    def compute(self) -> float:
        """Give the mean PSNR.

        Returns
        -------
        float
            In dB.
        """
        chosen = [one for one in self.slices if one["set"] == SYNTHETIC] or self.slices
        return _mean(chosen, "psnr")

    def by_patient(self) -> list[dict[str, Any]]:
        """Average over the slices of each patient.

        Returns
        -------
        list of dict
            `set`, `patient`, `slices`, and each measure for the result and, as `input_...`, for
            the noisy image.
        """
        groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for one in self.slices:
            groups[one["set"], one["patient"]].append(one)
        return [
            {
                "set": kind,
                "patient": patient,
                "slices": len(slices),
                **{name: round(_mean(slices, name), 6) for name in COLUMNS},
            }
            for (kind, patient), slices in sorted(groups.items())
        ]

    def _to_hu(self, unit: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
        hu = self.range.clip(self.range.from_unit(unit.detach().cpu().float()))
        return np.asarray(hu.numpy()[0], dtype=np.float32)

    def _score(self, image: Any, clean: Any) -> Scores:
        width = self.range.width
        return {
            "psnr": float(psnr(image, clean, width)),
            "ssim": float(ssim(image, clean, width)),
            "ssim_published": float(ssim(image, clean, width, convention="published_ct")),
            "rmse_hu": float(rmse(image, clean)),
        }


class ValidationLog(MeasureLog):
    """Writes every validation to CSV files, and its means to the engine's metrics.

    Stands before what shows metrics (TensorBoard) in the evaluator's list of handlers.

    Parameters
    ----------
    scores
        What measured.
    folder
        Where the files go; None writes none, for all but the first of several processes.
    by_patient
        Name of the file with one row per set and patient.
    by_slice
        Name of the file with one row per slice; None for none.
    """

    def __init__(
        self,
        scores: SliceScores,
        folder: str | None,
        *,
        by_patient: str = "validation.csv",
        by_slice: str | None = None,
    ) -> None:
        self.scores = scores
        head = ("iteration", "set", "patient")
        self._patients = self._slices = None
        if folder is not None:
            self._patients = CsvLog(Path(folder) / by_patient, (*head, "slices", *COLUMNS))
        if folder is not None and by_slice is not None:
            of_slice = (*head, "slice", "file", "frame", *COLUMNS)
            self._slices = CsvLog(Path(folder) / by_slice, of_slice)
        super().__init__(*(one for one in (self._patients, self._slices) if one is not None))

    def _write(self, engine: Evaluator) -> None:
        stamp = {"iteration": self.iteration}
        if self._patients is not None:
            self._patients.add(*({**stamp, **row} for row in self.scores.by_patient()))
        if self._slices is not None:
            self._slices.add(*({**stamp, **row} for row in self.scores.slices))
        for kind, slices in _by_set(self.scores.slices).items():
            engine.state.metrics[f"val_psnr_{kind}"] = _mean(slices, "psnr")
            engine.state.metrics[f"val_rmse_hu_{kind}"] = _mean(slices, "rmse_hu")

    def summary(self) -> str:
        """Say in one line how result and input compare.

        Returns
        -------
        str
            Per set: PSNR before and after in dB.
        """
        return "; ".join(
            f"{kind}: PSNR {_mean(slices, 'input_psnr'):.2f} -> {_mean(slices, 'psnr'):.2f} dB, "
            f"RMSE {_mean(slices, 'input_rmse_hu'):.1f} -> {_mean(slices, 'rmse_hu'):.1f} HU "
            f"({counted(len(slices), 'slice')})"
            for kind, slices in _by_set(self.scores.slices).items()
        )


def _by_set(slices: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {
        kind: chosen
        for kind in (SYNTHETIC, LOW_DOSE)
        if (chosen := [one for one in slices if one["set"] == kind])
    }


def _mean(slices: Sequence[dict[str, Any]], name: str) -> float:
    return float(np.mean([one[name] for one in slices])) if slices else float("nan")
