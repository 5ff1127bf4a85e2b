"""How good a denoiser of pictures is now: PSNR and SSIM as published, beside the noisy input's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ignite.metrics import Metric
from monai.engines import Evaluator

from ldct_clipdn.core.benchmark import score_picture
from ldct_clipdn.core.words import counted
from ldct_clipdn.training.progress import CsvLog, MeasureLog

__all__ = ["PictureLog", "PictureScores"]

MEASURES: Final = ("psnr", "ssim", "input_psnr", "input_ssim")


class PictureScores(Metric):
    """Scores every validation picture as the published tests do; its value is the mean PSNR."""

    def reset(self) -> None:
        """Forget all pictures."""
        self.pictures: list[dict[str, float]] = []

    def iteration_completed(self, engine: Evaluator) -> None:  # type: ignore[override]
        """Score one batch.

        Parameters
        ----------
        engine
            A MONAI evaluator with `decollate` off.
        """
        output: Any = engine.state.output
        for noisy, pred, clean in zip(
            *(output[key].detach() for key in ("image", "pred", "label")), strict=True
        ):
            scores = (score_picture(one.clamp(0, 1), clean) for one in (pred, noisy))
            figures = [figure for pair in scores for figure in pair]
            self.pictures.append(dict(zip(MEASURES, figures, strict=True)))

    def update(self, output: Any) -> None:
        """Do nothing: `iteration_completed` sees the batch.

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
        return self.means()["psnr"]

    def means(self) -> dict[str, float]:
        """Average over the pictures.

        Returns
        -------
        dict
            Each measure, for the result and, as `input_...`, for the noisy picture.
        """
        count = max(len(self.pictures), 1)
        return {name: sum(one[name] for one in self.pictures) / count for name in MEASURES}


class PictureLog(MeasureLog):
    """Writes the means of every validation to a CSV file.

    Parameters
    ----------
    scores
        What measured.
    folder
        Where the file goes; None writes none, for all but the first of several processes.
    """

    def __init__(self, scores: PictureScores, folder: str | None) -> None:
        self.scores = scores
        columns = ("iteration", "pictures", *MEASURES)
        files = [] if folder is None else [CsvLog(Path(folder) / "validation.csv", columns)]
        super().__init__(*files)

    def summary(self) -> str:
        """Say in one line how result and input compare.

        Returns
        -------
        str
            PSNR and SSIM before and after.
        """
        mean, count = self.scores.means(), counted(len(self.scores.pictures), "picture")
        return (
            f"PSNR {mean['input_psnr']:.2f} -> {mean['psnr']:.2f} dB, SSIM "
            f"{mean['input_ssim']:.3f} -> {mean['ssim']:.3f} ({count})"
        )

    def _write(self, engine: Evaluator) -> None:
        mean = {name: round(value, 6) for name, value in self.scores.means().items()}
        for log in self.logs:
            log.add({"iteration": self.iteration, "pictures": len(self.scores.pictures), **mean})
        engine.state.metrics["val_ssim"] = mean["ssim"]
