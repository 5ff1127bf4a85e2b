"""What is evaluated or used: which weights, and on which slices."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.core.denoiser import CLIPDenoiser
from ldct_clipdn.core.weight_checks import check_channels
from ldct_clipdn.core.weight_store import find_weights
from ldct_clipdn.core.weights import open_denoiser
from ldct_clipdn.errors import DataError, WeightsError

if TYPE_CHECKING:
    from ldct_clipdn.data.mayo import TrainingSets

__all__ = ["network_for", "require_validation"]

logger = logging.getLogger(__name__)


def network_for(weights: str | Path, otherwise: CLIPDenoiser) -> CLIPDenoiser:
    """Load the weights that are to be used or evaluated.

    Parameters
    ----------
    weights
        As for `load_denoiser`; `none` takes the network as it is.
    otherwise
        The network for `none`: for tests, and for servers that send weights later. Says how many
        channels the images have.

    Returns
    -------
    CLIPDenoiser
        In evaluation mode where weights were loaded.

    Raises
    ------
    WeightsError
        When the file is not there, is no denoiser's, or is for the other kind of images.
    """
    if str(weights).lower() == "none":
        logger.warning("No weights are loaded: what comes out means nothing")
        return otherwise
    if not find_weights(weights).is_file():
        raise WeightsError(
            "there is no such weights file",
            path=weights,
            remedy="Name one with --weights, such as RUN_DIR/best.pt of a training; `ldct-clipdn "
            "weights export RUN_DIR/best.pt models/model.pt` makes it the bundle's own",
        )
    network, info = open_denoiser(weights)
    check_channels(Path(weights), network.config.in_channels, otherwise.config.in_channels)
    logger.info("Weights: %s (%s)", info.name, info.encoder)
    return network


def require_validation(sets: TrainingSets) -> None:
    """Refuse to evaluate on nothing.

    Parameters
    ----------
    sets
        What was found.

    Raises
    ------
    DataError
        When there is no slice to validate on.
    """
    if not sets.validation:
        raise DataError(
            "there is nothing to evaluate on: all slices belong to one patient",
            remedy="Give --validation_dir with other patients, or name some with --test_patients",
        )
