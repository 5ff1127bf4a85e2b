"""Names and headers on terminals and in logs."""

from __future__ import annotations

import pytest

from ldct_clipdn.core.words import printable


@pytest.mark.parametrize(
    ("words", "shown"),
    [("B30f é 肺", "B30f é 肺"), ("a\nb\x1b[2J\u202ec", "a?b?[2J?c"), ("", "")],
)
def test_what_cannot_be_printed_is_marked(words: str, shown: str) -> None:
    assert printable(words) == shown
