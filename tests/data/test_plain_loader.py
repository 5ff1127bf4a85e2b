"""Errors of ours that are raised in a worker process."""

from __future__ import annotations

import pytest
from monai.transforms import Compose

from ldct_clipdn.data.plain_loader import PlainErrorLoader
from ldct_clipdn.data.positions import PositionDataset
from ldct_clipdn.errors import DataError, DecodeError


def unreadable(item: dict[str, str]) -> dict[str, str]:
    raise DecodeError("cannot be read", path=item["image"], remedy="Replace it")


def slip(item: dict[str, str]) -> dict[str, str]:
    try:
        return unreadable(item)
    except DecodeError:
        return {"image": item["missing"]}


def loader(transform: object) -> PlainErrorLoader:
    data = PositionDataset([{"image": "p3.png"}], Compose([transform]), 1)
    return PlainErrorLoader(data, num_workers=1, sampler=[(0, 0)])


def test_they_are_the_same_line() -> None:
    with pytest.raises(DataError) as caught:
        next(iter(loader(unreadable)))
    assert str(caught.value) == "p3.png: cannot be read. Replace it"


def test_a_bug_while_one_is_handled_looks_like_a_bug() -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'missing'"):
        next(iter(loader(slip)))
