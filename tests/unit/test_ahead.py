"""This file shows that items made ahead come out once and in order."""

from collections.abc import Iterator

from flows.ahead import Ahead


def test_ahead__makes_no_item_before_it_is_wanted_and_none_twice() -> None:
    """Preparing twice makes one item; each is taken once, and behind the last there is nothing."""
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in (1, 2, 3):
            made.append(number)
            yield number

    ahead = Ahead(items())
    assert made == []
    ahead.prepare()
    ahead.prepare()
    assert made == [1]
    assert ahead.take() == 1
    assert made == [1]
    assert [ahead.take(), ahead.take(), ahead.take(), ahead.take()] == [2, 3, None, None]
