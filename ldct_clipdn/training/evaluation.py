"""What is evaluated or used: which weights, and on which slices."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ldct_clipdn.core.config import PUBLISHED_HU
from ldct_clipdn.core.denoiser import CLIPDenoiser
from ldct_clipdn.core.weight_checks import check_channels, config_of
from ldct_clipdn.core.weight_files import read_weights_file
from ldct_clipdn.core.weight_store import find_weights
from ldct_clipdn.core.weights import open_denoiser
from ldct_clipdn.errors import DataError, WeightsError

if TYPE_CHECKING:
    from ldct_clipdn.data.mayo import TrainingSets

__all__ = ["hu_range_of", "network_for", "require_validation"]

logger = logging.getLogger(__name__)


def hu_range_of(weights: str | Path) -> tuple[float, float]:
    """Read which HU the network sees as 0 and 1.

    Parameters
    ----------
    weights
        As for `network_for`; need not be there, as where MONAI Deploy brings the network.

    Returns
    -------
    tuple of float
        The published range where the weights do not say, are none, or are for colour images.

    Raises
    ------
    WeightsError
        When the file is no denoiser's.
    """
    if str(weights).lower() == "none" or not (path := find_weights(weights)).is_file():
        return PUBLISHED_HU
    return config_of(read_weights_file(path)).hu_range or PUBLISHED_HU


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
    logger.info("Weights: %s (%s)", info.name, info.described)
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
