"""How good a denoiser of pictures is now: PSNR and SSIM as published, beside the noisy input's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ignite.engine import Events
from ignite.metrics import Metric
from monai.engines import Evaluator

from ldct_clipdn.core.benchmark import score_picture
from ldct_clipdn.training.progress import CsvLog

__all__ = ["PictureLog", "PictureScores"]

MEASURES: Final = ("psnr", "ssim", "input_psnr", "input_ssim")


class PictureScores(Metric):
    """Scores every validation picture (PROTOCOL.md 2.1); its value is the mean PSNR."""

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


class PictureLog:
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
        self.iteration = 0
        columns = ("iteration", "pictures", *MEASURES)
        self.log = None if folder is None else CsvLog(Path(folder) / "validation.csv", columns)

    def attach(self, engine: Evaluator) -> None:
        """Watch an evaluator.

        Parameters
        ----------
        engine
            A MONAI evaluator.
        """
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def begin(self, iteration: int) -> None:
        """Drop what was measured after an iteration: a resumed run measures it again.

        Parameters
        ----------
        iteration
            Iterations done; 0 starts the file.
        """
        self.iteration = iteration
        if self.log is not None:
            self.log.begin(iteration)

    def summary(self) -> str:
        """Say in one line how result and input compare.

        Returns
        -------
        str
            PSNR and SSIM before and after.
        """
        mean = self.scores.means()
        return (
            f"PSNR {mean['input_psnr']:.2f} -> {mean['psnr']:.2f} dB, SSIM "
            f"{mean['input_ssim']:.3f} -> {mean['ssim']:.3f} ({len(self.scores.pictures)} pictures)"
        )

    def _write(self, engine: Evaluator) -> None:
        mean = {name: round(value, 6) for name, value in self.scores.means().items()}
        if self.log is not None:
            self.log.add(
                {"iteration": self.iteration, "pictures": len(self.scores.pictures), **mean}
            )
        engine.state.metrics["val_ssim"] = mean["ssim"]
