"""This file shows who goes on while somebody waits."""

from collections.abc import Iterator

from flows.turns import in_turns


def worker(name: str, steps: int, log: list[str]) -> Iterator[str | None]:
    """Ask so many times for something, wait, and answer."""
    for step in range(steps):
        log.append(f"{name}{step}?")
        yield None
        yield f"{name}{step}"


def test_turns__one_asks_while_another_waits() -> None:
    """With two at once the second asks before the first is answered; a third begins when one is done."""
    log: list[str] = []
    for item in in_turns([worker("a", 2, log), worker("b", 1, log), worker("c", 1, log)], 2):
        log.append(item)
    assert log == ["a0?", "b0?", "a0", "a1?", "b0", "c0?", "a1", "c0"]


def test_turns__alone_everybody_is_answered_at_once() -> None:
    """One at once is one behind the other, and nothing comes of nobody."""
    log: list[str] = []
    for item in in_turns([worker("a", 2, log), worker("b", 1, log)], 1):
        log.append(item)
    assert log == ["a0?", "a0", "a1?", "a1", "b0?", "b0"]
    assert not list(in_turns([], 2))
