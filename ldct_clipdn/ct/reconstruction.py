"""Recognises by the words of makers what is no filtered back-projection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["iterative_words"]

KERNEL: Final = re.compile(r"[IJQ][a-z]?\d\d", re.I)
"""Begins Siemens' kernels for iterative reconstruction, such as I30f."""

STRENGTH: Final = re.compile(r"[1-5]")
"""Second value of a kernel where SAFIRE or ADMIRE made the image, such as Br40d with 3."""

NAMES: Final = re.compile(
    r"iterative|(?<![a-z])(idose|asir|aidr|safire|admire|"
    r"(imr|veo|aice|dlir|truefidelity|precise image)(?![a-z])|deep[ _-]?(learn|recon))",
    re.I,
)


def iterative_words(kernel: Sequence[str], *others: str) -> str:
    """Say by which words an image seems to be reconstructed iteratively, or by a network.

    Parameters
    ----------
    kernel
        Values of ConvolutionKernel.
    *others
        What else may name the reconstruction: SeriesDescription, ReconstructionAlgorithm.

    Returns
    -------
    str
        The words that tell; empty where none does, which is no proof of the opposite.
    """
    words = " ".join(kernel)
    by_kernel = bool(kernel) and KERNEL.match(kernel[0]) is not None
    if by_kernel or any(STRENGTH.fullmatch(one) for one in kernel[1:]):
        return words
    return next((one for one in (words, *others) if NAMES.search(one)), "")
