"""Table 6: size, work, time and memory of every network, for one image of 3 x 512 x 512."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, Final

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from ldct_clipdn.bench.peers import TITLES, build_peer, count_parameters
from ldct_clipdn.bench.published import SOURCE, published_efficiency
from ldct_clipdn.bench.results import markdown_table
from ldct_clipdn.core.denoiser import build_denoiser

__all__ = [
    "Efficiency",
    "beside_the_paper",
    "efficiency_table",
    "known_networks",
    "measure_efficiency",
]

SIDE: Final = 512
WARM_UP: Final = 3
REPEATS: Final = 10

ALLOCATION: Final = "[memory]"
"""What PyTorch's profiler calls an allocation (bytes above 0) or a release (below 0)."""

_MEASURED: Final = {
    "network": "s",
    "parameters_m": ".2f",
    "gmac": ".2f",
    "seconds": ".4f",
    "cpu_seconds": ".4f",
    "peak_gb": ".2f",
}
_PRINTED: Final = {"paper_parameters_m": "g", "paper_gmac": "g", "paper_seconds": "g"}
"""Columns, and the form of their numbers in Markdown."""

_HEADER: Final = (
    "network", "parameters (M)", "multiply-adds (G)", "seconds", "CPU seconds", "peak memory (GB)",
    "parameters [paper]", "multiply-adds [paper]", "seconds [paper]",
)  # fmt: skip


@dataclass(frozen=True)
class Efficiency:
    """What one network costs.

    Parameters
    ----------
    network
        Name; that of the paper where it is the paper's.
    parameters_m
        Millions of parameters, frozen ones too.
    gmac
        Billions of multiply-adds of convolutions, matrix products and attention.
    seconds
        Median time per image.
    cpu_seconds
        Median processor time per image, of all threads: what other work on the machine disturbs
        less; on a GPU the host's.
    peak_gb
        Memory that it held at most, as PyTorch's allocator counts it, on a CPU and on a GPU:
        weights, image, and the most that was allocated at once while it ran.
    """

    network: str
    parameters_m: float
    gmac: float
    seconds: float
    cpu_seconds: float
    peak_gb: float


def known_networks() -> dict[str, nn.Module]:
    """Build every network of the package at its published size, with random weights.

    Returns
    -------
    dict
        In evaluation mode, by name.
    """
    encoders = ("RN50x4", "RN50x16", "ViT-B-16", "MoCo-v3-RN50", "ImageNet-RN50v2")
    ours: dict[str, dict[str, Any]] = {
        "CLIPDenoising": {},
        "CLIPDenoising, C = 32": {"width": 32},
        **{f"CLIPDenoising, {one}": {"encoder": one} for one in encoders},
        "CLIPDenoising, with F5": {"use_f5": True},
        "CLIPDenoising, Restormer decoder": {"decoder": "restormer"},
    }
    networks: dict[str, nn.Module] = {TITLES[peer]: build_peer(peer) for peer in TITLES}
    for name, settings in ours.items():
        # `scratch` says that the weights need not be anyone's: only the cost is measured
        networks[name] = build_denoiser(in_channels=3, encoder_training="scratch", **settings)
    return {name: network.eval() for name, network in networks.items()}


def measure_efficiency(
    name: str, network: nn.Module, device: torch.device, *, side: int = SIDE, repeats: int = REPEATS
) -> Efficiency:
    """Measure one network.

    Parameters
    ----------
    name
        For the table.
    network
        Takes [1, 3, H, W].
    device
        Where.
    side
        Height and width of the image.
    repeats
        Runs whose median is taken, after a few that are not counted.

    Returns
    -------
    Efficiency
        Its cost.
    """
    network = network.to(device).eval()
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            network(image)
        times = [_seconds(network, image) for _ in range(WARM_UP + repeats)][WARM_UP:]
        seconds, cpu_seconds = (statistics.median(some) for some in zip(*times, strict=True))
        peak = _peak_gb(network, image)
    return Efficiency(
        name,
        count_parameters(network) / 1e6,
        counter.get_total_flops() / 2e9,
        seconds,
        cpu_seconds,
        peak,
    )


def efficiency_table(
    rows: Sequence[Efficiency], device: str, *, side: int = SIDE, repeats: int = REPEATS
) -> str:
    """Put the measured costs beside the printed ones, in Markdown.

    Parameters
    ----------
    rows
        What was measured.
    device
        Where, in words.
    side
        Height and width of the image.
    repeats
        Runs whose median was taken.

    Returns
    -------
    str
        The table, with what is only printed at its end; then where it was measured and what the
        paper's columns are.
    """
    table = markdown_table([_HEADER, *(_cells(line) for line in beside_the_paper(rows))])
    return (
        f"# Efficiency (Table 6), one image of 3 x {side} x {side}\n\n{table}\n\n"
        f"Measured on: {device}, torch {torch.__version__}; median of {repeats} runs after "
        f"{WARM_UP}; random weights.\n\n[paper]: {SOURCE}; one image of 3 x {SIDE} x {SIDE} on "
        "a device it does not name. HAT's printed figures are DnCNN's. C = 32: the default "
        "weights' layout, here for colour.\n"
    )


def beside_the_paper(rows: Sequence[Efficiency]) -> list[dict[str, str | float]]:
    """Put the measured costs and the printed ones into one table.

    Parameters
    ----------
    rows
        What was measured.

    Returns
    -------
    list of dict
        One per network that was measured, then per printed one that was not; the same columns in
        each, empty where there is nothing.
    """
    printed = published_efficiency()
    measured = {row.network: asdict(row) for row in rows}
    return [
        {
            **dict.fromkeys(_MEASURED, ""),
            **measured.get(name, {"network": name}),
            **dict.fromkeys(_PRINTED, ""),
            **({f"paper_{what}": value for what, value in beside.items()}),
        }
        for name in dict.fromkeys((*measured, *printed))
        for beside in [printed[name]._asdict() if name in printed else {}]
    ]


def _cells(line: Mapping[str, str | float]) -> list[str]:
    forms = {**_MEASURED, **_PRINTED}
    return [value if isinstance(value, str) else f"{value:{forms[k]}}" for k, value in line.items()]


def _seconds(network: nn.Module, image: torch.Tensor) -> tuple[float, float]:
    start = time.perf_counter(), time.process_time()
    network(image)
    if image.is_cuda:
        torch.cuda.synchronize(image.device)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def _peak_gb(network: nn.Module, image: torch.Tensor) -> float:
    held: int = sum(one.nbytes for one in (*network.parameters(), *network.buffers(), image))
    count = _peak_on_gpu if image.is_cuda else _peak_on_cpu
    return (held + count(network, image)) / 1e9


def _peak_on_gpu(network: nn.Module, image: torch.Tensor) -> int:
    torch.cuda.reset_peak_memory_stats(image.device)
    before = torch.cuda.memory_allocated(image.device)
    network(image)
    return torch.cuda.max_memory_allocated(image.device) - before


def _peak_on_cpu(network: nn.Module, image: torch.Tensor) -> int:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or it writes of its start and end on stderr
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        network(image)
    events = record.profiler.kineto_results.events()
    changes = [one for one in events if one.name() == ALLOCATION]
    in_order = (one.nbytes() for one in sorted(changes, key=lambda one: one.start_ns()))
    return int(max(accumulate(in_order, initial=0)))
