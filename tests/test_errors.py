"""The exception tree: one line that says what, where, and what to do."""

from __future__ import annotations

import ast
import inspect
import pickle
import re
from pathlib import Path

import pytest

from ldct_clipdn import errors
from ldct_clipdn.errors import DecodeError, LdctError, ReadError

CLASSES = [getattr(errors, name) for name in errors.__all__]


def test_reason_path_and_remedy_make_one_line() -> None:
    error = ReadError("it is torn", path="a/b.dcm", remedy="Fetch it again")
    assert str(error) == "a/b.dcm: it is torn. Fetch it again"
    assert (error.reason, error.path, error.remedy) == (
        "it is torn", Path("a/b.dcm"), "Fetch it again",
    )  # fmt: skip
    assert str(LdctError("odd")) == "odd"
    assert LdctError("odd").path is None


def test_whatever_a_file_is_called_the_error_is_one_line() -> None:
    assert "\n" not in str(LdctError("first\nsecond", path="a\nb", remedy="c\r\n\td"))
    assert str(LdctError("first\n  second", path="a\nb")) == "a b: first second"


@pytest.mark.parametrize("kind", CLASSES)
def test_all_are_of_one_tree_and_survive_another_process(kind: type[LdctError]) -> None:
    assert issubclass(kind, LdctError)
    error = kind("reason", path="p", remedy="r")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert str(again) == str(error)


def test_a_decode_error_is_a_read_error() -> None:
    assert issubclass(DecodeError, ReadError)


def test_the_drawing_shows_every_class_with_its_meaning() -> None:
    drawing = inspect.getdoc(errors) or ""
    drawn = re.findall(r"^\W*(\w+Error)\b", drawing, re.MULTILINE)
    assert sorted(drawn) == sorted(errors.__all__)
    defined = [
        one.name
        for one in ast.parse(inspect.getsource(errors)).body
        if isinstance(one, ast.ClassDef)
    ]
    assert sorted(defined) == sorted(errors.__all__)
