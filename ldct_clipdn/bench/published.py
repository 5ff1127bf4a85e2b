"""The numbers that the paper prints, as data beside the code."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

__all__ = ["SOURCE", "Published", "PublishedEfficiency", "published_efficiency", "published_scores"]

SOURCE: Final = (
    'Cheng, Liang, Tan: "Transfer CLIP for Generalizable Image Denoising", CVPR 2024, '
    "arXiv:2403.15132; the competitors' figures are that paper's own runs"
)


class Published(NamedTuple):
    """One printed cell.

    Parameters
    ----------
    psnr
        In dB.
    ssim
        Up to 1.
    remark
        Why the cell may be a misprint; empty where nothing is wrong with it.
    """

    psnr: float
    ssim: float
    remark: str


class PublishedEfficiency(NamedTuple):
    """One printed column of Table 6, for an image of 3 x 512 x 512.

    Parameters
    ----------
    parameters_m
        Millions of parameters.
    seconds
        Time per image, on a device that the paper does not name.
    gmac
        What the paper calls FLOPs, in billions; it counts multiply-adds.
    """

    parameters_m: float
    seconds: float
    gmac: float


@cache
def published_scores(*tables: int) -> dict[tuple[str, str, str], Published]:
    """Give the cells of some tables.

    Parameters
    ----------
    *tables
        Their numbers in the paper.

    Returns
    -------
    dict
        By set, condition (a noise's label; empty for real noise) and method.
    """
    return {
        (row["set"], row["condition"], row["method"]): Published(
            float(row["psnr"]), float(row["ssim"]), row["remark"]
        )
        for row in _rows("published.csv")
        if int(row["table"]) in tables
    }


def published_efficiency() -> dict[str, PublishedEfficiency]:
    """Give Table 6.

    Returns
    -------
    dict
        By method.
    """
    return {
        row["method"]: PublishedEfficiency(
            float(row["parameters_m"]), float(row["seconds"]), float(row["gmac"])
        )
        for row in _rows("published_efficiency.csv")
    }


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("ldct_clipdn").joinpath(f"bench/{name}").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
