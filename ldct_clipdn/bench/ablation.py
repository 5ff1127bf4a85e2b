"""Tables 4, 5, 8, 10 and Figure 8: the paper's variants of the denoiser, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ldct_clipdn.bench.experiment import PictureTable, Progress, RunSettings, run_table
from ldct_clipdn.bench.methods import Method, make_method
from ldct_clipdn.bench.sets import TestSet
from ldct_clipdn.bench.tables import Table
from ldct_clipdn.core.denoiser import CLIPDenoiser, build_denoiser
from ldct_clipdn.core.encoder import EncoderNorm
from ldct_clipdn.core.noise import Noise
from ldct_clipdn.errors import ConfigError, DataError

__all__ = ["ABLATION_NOISES", "VARIANTS", "Variant", "build_variant", "run_ablation"]

ABLATION_NOISES: Final = tuple(
    Noise.parse(label)
    for label in (
        *("gaussian:15", "gaussian:50", "spatial_gaussian:55"),
        *("poisson:3.5", "speckle:0.04", "salt_pepper:0.02"),
    )
)
"""Every noise of Tables 4, 5, 8, 10 and Figure 8 (the highest level of each kind)."""

ABLATION: Final = PictureTable(
    "Variants (Tables 4, 5, 8, 10 and Figure 8)", (4, 5, 8, 10), ABLATION_NOISES
)


@dataclass(frozen=True)
class Variant:
    """One variant of the denoiser.

    Parameters
    ----------
    what
        In words.
    published
        How the printed tables name it here; empty where no figure is printed.
    settings
        For `build_denoiser`, where they differ from the published method's.
    weights
        What its encoder's weights are: `clip`, `moco`, `imagenet` or nothing.
    """

    what: str
    published: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    weights: str = "clip"


_NO_PFA: Final[dict[str, Any]] = {"augmentation": 0.0}

VARIANTS: Final = {
    "pfa": Variant("the published method: frozen CLIP RN50, with augmentation", "with PFA"),
    "baseline": Variant("the same without augmentation", "baseline", _NO_PFA),
    "without_input": Variant(
        "no noisy image for the decoder", "without input", {**_NO_PFA, "use_image": False}
    ),
    "f5": Variant("F5 for the decoder too", "with F5", {**_NO_PFA, "use_f5": True}),
    "random": Variant(
        "encoder random, all of it trained",
        "random",
        {**_NO_PFA, "encoder_training": "scratch"},
        weights="",
    ),
    "finetune": Variant(
        "encoder CLIP RN50, trained on", "finetune", {**_NO_PFA, "encoder_training": "finetune"}
    ),
    "rn50x4": Variant(
        "frozen CLIP RN50x4", "RN50x4, without PFA", {**_NO_PFA, "encoder": "RN50x4"}
    ),
    "rn50x16": Variant(
        "frozen CLIP RN50x16", "RN50x16, without PFA", {**_NO_PFA, "encoder": "RN50x16"}
    ),
    "vit": Variant(
        "7th layer of the frozen CLIP ViT-B/16, 4 ViT blocks, 4 upsampling blocks",
        "ViT-B-16",
        {**_NO_PFA, "encoder": "ViT-B-16"},
    ),
    "moco": Variant(
        "frozen MoCo-v3 RN50",
        "MoCo-v3-RN50, without PFA",
        {**_NO_PFA, "encoder": "MoCo-v3-RN50"},
        weights="moco",
    ),
    "imagenet": Variant(
        "frozen ImageNet-supervised RN50 v2 (the contrast of Fig. 2; no printed denoiser)",
        settings={**_NO_PFA, "encoder": "ImageNet-RN50v2"},
        weights="imagenet",
    ),
    "imagenet_finetune": Variant(
        "ImageNet-supervised RN50 v2, trained on (no printed denoiser)",
        settings={**_NO_PFA, "encoder": "ImageNet-RN50v2", "encoder_training": "finetune"},
        weights="imagenet",
    ),
    "random_frozen": Variant(
        "encoder random and frozen (a control; no printed denoiser)",
        settings=_NO_PFA,
        weights="",
    ),
    "restormer_decoder": Variant(
        "Restormer blocks in the decoder (section 5; no figure is printed)",
        settings={**_NO_PFA, "decoder": "restormer"},
    ),
}
"""All variants by name; the training noise is Gaussian of sigma 15."""


def build_variant(
    variant: str,
    *,
    encoder_weights: str | Path | None = None,
    encoder_norm: EncoderNorm = "frozen",
    start: str = "random",
    width: int | None = None,
) -> CLIPDenoiser:
    """Build a variant to train.

    Parameters
    ----------
    variant
        A key of `VARIANTS`.
    encoder_weights
        Tag or file of the encoder's weights; None or `none` leaves it random. A variant whose
        encoder is random takes none.
    encoder_norm
        As for `build_denoiser`.
    start
        As for `build_denoiser`; a variant that cannot begin by passing the image through begins at
        random.
    width
        As for `build_denoiser`.

    Returns
    -------
    CLIPDenoiser
        In training mode, for RGB.

    Raises
    ------
    ConfigError
        When there is no such variant.
    """
    if variant not in VARIANTS:
        raise ConfigError(
            f"there is no variant {variant!r}", remedy=f"Give one of {', '.join(VARIANTS)}"
        )
    chosen = VARIANTS[variant]
    given = None if str(encoder_weights).lower() == "none" else encoder_weights
    passes_image = (
        chosen.settings.get("use_image", True) and chosen.settings.get("decoder") != "restormer"
    )
    return build_denoiser(
        in_channels=3,
        width=width,
        pretrained=given if chosen.weights else None,
        encoder_norm=encoder_norm,
        start=start if passes_image else "random",  # type: ignore[arg-type]  # checked there
        **chosen.settings,
    )


def run_ablation(
    runs: Path,
    sets: Sequence[TestSet],
    folder: Path,
    settings: RunSettings,
    *,
    noises: Sequence[Noise] = ABLATION_NOISES,
    resume: bool = False,
    progress: Progress | None = None,
) -> Table:
    """Measure every variant that was trained and write the table.

    Parameters
    ----------
    runs
        Holds a training's folder per variant, named like it; its `last.pt` is measured, as the
        published tests do.
    sets
        Test sets of clean pictures.
    folder, settings
        As for `run_table`.
    noises
        Rows.
    resume, progress
        As for `run_table`.

    Returns
    -------
    Table
        Everything measured in the folder, with the printed figures beside.

    Raises
    ------
    DataError
        When no variant was trained.
    """
    return run_table(
        ABLATION, sets, _trained_variants(runs, settings), folder, settings,
        conditions=noises, resume=resume, progress=progress,
    )  # fmt: skip


def _trained_variants(runs: Path, settings: RunSettings) -> list[Method]:
    trained = {name: runs / name / "last.pt" for name in VARIANTS}
    methods = [
        replace(
            make_method(f"weights:{name}={path}", settings.device),
            counterpart=VARIANTS[name].published,
        )
        for name, path in trained.items()
        if path.is_file()
    ]
    if not methods:
        raise DataError(
            "no variant was trained here: there is no VARIANT/last.pt",
            path=runs,
            remedy="`ldct-clipdn benchmark ablation --list` says how to train each",
        )
    return methods
