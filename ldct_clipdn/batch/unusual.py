"""What of a series lies outside of what the weights were trained for, by its header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ldct_clipdn.ct.reconstruction import iterative_words
from ldct_clipdn.io.attributes import text, texts

if TYPE_CHECKING:
    from ldct_clipdn.io.scan import Scan

__all__ = ["UNUSUAL", "find_iterative", "find_unusual"]

UNUSUAL: Final = "OUT_OF_DISTRIBUTION: "
"""How `io.find` begins a note on what the network was not trained for."""


def find_iterative(scan: Scan) -> str:
    """Say by which words of its header a series seems to be reconstructed iteratively.

    Parameters
    ----------
    scan
        The series.

    Returns
    -------
    str
        From ConvolutionKernel, SeriesDescription or ReconstructionAlgorithm; empty where none
        tells.
    """
    header = scan.instances[0].header
    others = (text(header, name) for name in ("SeriesDescription", "ReconstructionAlgorithm"))
    return iterative_words(texts(header, "ConvolutionKernel"), *others)


def find_unusual(scan: Scan, trained_noise_hu: tuple[float, float] | None) -> tuple[str, ...]:
    """Say what should be flagged as OUT_OF_DISTRIBUTION, beside the noise.

    Parameters
    ----------
    scan
        The series.
    trained_noise_hu
        Of the weights. Those that tell it were trained on filtered back-projection
        (docs/weights.md); of others nothing is known.

    Returns
    -------
    tuple of str
        One line each.
    """
    asked = tuple(note.removeprefix(UNUSUAL) for note in scan.notes if note.startswith(UNUSUAL))
    words = find_iterative(scan) if trained_noise_hu else ""
    return (*asked, *((f"an iterative reconstruction, by its name ({words})",) if words else ()))
