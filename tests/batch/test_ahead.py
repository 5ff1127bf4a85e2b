"""Working ahead: order, errors, bounded, and nothing that runs on."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing

import pytest

from ldct_clipdn.batch.ahead import ahead


def test_everything_comes_in_order_from_another_thread() -> None:
    threads = set()

    def items() -> Generator[int, None, None]:
        for number in range(20):
            threads.add(threading.current_thread())
            yield number

    assert list(ahead(items())) == list(range(20))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_an_error_comes_in_its_place(error: BaseException) -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        yield 2
        raise error

    seen = []
    with pytest.raises(type(error)):
        seen.extend(one for one in ahead(items()))
    stream = ahead(items())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(type(error)):
        next(stream)


@pytest.mark.parametrize("depth", [1, 3])
def test_only_a_few_wait_and_all_is_closed(depth: int) -> None:
    made, closed = [], []

    def items() -> Generator[int, None, None]:
        try:
            for number in range(100):
                made.append(number)
                yield number
        finally:
            closed.append(True)

    before = threading.active_count()
    with closing(ahead(items(), depth)) as stream:
        for _ in range(10):
            next(stream)
    assert 10 <= len(made) <= 10 + depth
    assert closed == [True]
    assert threading.active_count() == before
