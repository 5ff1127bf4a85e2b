"""PNG written by hand, read by a library."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ldct_clipdn.ct.hu import WINDOWS
from ldct_clipdn.report.png import data_uri, encode_png, to_grey

Image = pytest.importorskip("PIL.Image")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9999))
@settings(max_examples=30, deadline=None)
def test_every_picture_comes_back(height: int, width: int, seed: int) -> None:
    grey = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    read = Image.open(io.BytesIO(encode_png(grey)))
    assert read.mode == "L"
    np.testing.assert_array_equal(np.asarray(read), grey)


def test_window_ends_are_black_and_white() -> None:
    hu = np.array([[-3000, -160, 40, 240, 3000]], dtype=np.float32)
    np.testing.assert_array_equal(to_grey(hu, WINDOWS["abdomen"]), [[0, 0, 128, 255, 255]])


def test_data_uri_holds_the_picture() -> None:
    kind, content = data_uri(np.full((3, 4), 40.0), WINDOWS["abdomen"]).split(",")
    assert kind == "data:image/png;base64"
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).tolist() == [[128] * 4] * 3
