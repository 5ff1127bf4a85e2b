"""Kernel and quanta by which simulated full dose has the noise that the slices have."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from ldct_clipdn.ct.kernel import USUAL_KERNEL, Kernel, Probe, kernel_window
from ldct_clipdn.ct.noise_meter import mode_in_tissue
from ldct_clipdn.ct.scan_noise import Rays, Scan
from ldct_clipdn.errors import ConfigError

__all__ = ["NoiseFit", "fit_scan"]

PROBE: Final = Rays(quanta=1e6)
"""Quantum noise of a full dose."""

TOLD: Final = re.compile(r"kernel ([^ ;]+)(?: \([^)]*\))?; ([0-9.e+-]+) quanta")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NoiseFit:
    """What decides the noise of a simulation, beside the slices; gives the same noise again.

    Parameters
    ----------
    kernel
        A key of `ct.kernel.KERNELS`, or cut-off in 1/mm and steepness, such as `0.41,1.6`.
    quanta
        Noise-equivalent quanta per unattenuated ray at full dose.
    """

    kernel: str
    quanta: float

    def __str__(self) -> str:
        """Tell all digits, in the words that can be given again."""
        of = " (cut-off in 1/mm, steepness)" if "," in self.kernel else ""
        return f"kernel {self.kernel}{of}; {self.quanta!r} quanta"

    @classmethod
    def read(cls, words: str) -> NoiseFit | None:
        """Read what one told of itself.

        Parameters
        ----------
        words
            As `str` makes them, with anything behind.

        Returns
        -------
        NoiseFit or None
            None where they begin otherwise.
        """
        found = TOLD.match(words)
        return cls(found[1], float(found[2])) if found else None


def fit_scan(
    scan: Scan,
    kernel: str,
    photons: str | float,
    electronic: float,
    doubts: list[str] | None = None,
) -> NoiseFit:
    """Find what is `auto`; the rest is taken as given.

    Parameters
    ----------
    scan
        The slices.
    kernel, photons, electronic
        As `ct.lowdose.simulate_low_dose` takes them.
    doubts
        Takes why what was found is only a guess; it is logged where this is None.

    Returns
    -------
    NoiseFit
        Kernel and quanta.

    Raises
    ------
    ConfigError
        When quanta are asked for and the slices' noise cannot be read.
    """
    if kernel != "auto" and photons != "auto":
        return NoiseFit(kernel, float(photons))
    scan, probe = scan.turned(), Probe(scan.volume)
    if kernel == "auto":
        kernel = str(_find_kernel(scan, probe, doubts).per_mm(scan.pixel_mm))
    if photons != "auto":
        return NoiseFit(kernel, float(photons))
    return NoiseFit(kernel, _find_quanta(scan, probe, kernel, electronic))


def _find_kernel(scan: Scan, probe: Probe, doubts: list[str] | None) -> Kernel:
    """Find the one that gives noise of the slices' spectrum; cut-off in cycles per pixel."""
    if not probe.regions:
        reason = "no uniform soft tissue to read the kernel from, a usual one is taken"
        if doubts is None:
            logger.warning("%s: approximate", reason)
        else:
            doubts.append(reason)
        return USUAL_KERNEL
    first = probe.fit()
    window = first.per_mm(scan.pixel_mm).window
    return probe.refit(first, {k: scan.noise(k, PROBE, window) for k in probe.regions})


def _find_quanta(scan: Scan, probe: Probe, kernel: str, electronic: float) -> float:
    """Find the quanta whose full-dose noise is what the slices have: one number for all.

    Variances add: of N quanta, that of the quanta is a / N, the electronic one b / N^2.
    """
    quanta = PROBE.quanta / _own_over_drawn(scan, probe, kernel, PROBE) ** 2
    if not electronic:
        return quanta
    readout = Rays(quanta, electronic, quantum=0)
    share = 1 / _own_over_drawn(scan, probe, kernel, readout) ** 2
    # with x = N / quanta: 1 = 1 / x + share / x^2
    return quanta * (1 + math.sqrt(1 + 4 * share)) / 2


def _own_over_drawn(scan: Scan, probe: Probe, kernel: str, rays: Rays) -> float:
    """Give the slices' own noise over the simulated one: ratio of standard deviations."""
    window = kernel_window(kernel)
    if probe.regions:
        drawn = {k: scan.noise(k, rays, window) for k in probe.regions}
        return probe.level() / probe.level(drawn)
    readings = {k: mode_in_tissue(one, one) for k, one in enumerate(scan.volume)}
    ratios = [
        own / mode_in_tissue(scan.noise(k, rays, window), scan.volume[k])
        for k, own in readings.items()
        if np.isfinite(own)
    ]
    if not ratios:
        raise ConfigError(
            "there is too little soft tissue to read the noise from",
            remedy="Give photons as a number, such as 1e5",
        )
    return float(np.median(ratios))
