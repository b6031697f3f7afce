"""What must be true when a world has come to rest. This file holds it to the log, which nothing can change."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from tests.simulation.protocol import Violation
from tests.simulation.shard import Entry, Message, Row, Shard, changes_of
from tests.simulation.store import ShardState
from tests.simulation.world import World


def check(world: World) -> None:
    """
    Raise a Violation unless the store and the outputs are what the log makes of them.

    Where a worker refused to go on, because a user's messages are spread over shards, all may be incomplete;
    what is there must be right all the same.
    """
    is_whole = not world.tally.refused
    for partition in range(world.log.partitions):
        _check_shard(world, partition, is_whole)
    # After a store went back, the order of two topics, or a fall by the clock, may be decided anew: then the
    # same id may be given to another change. Where all is a function of the topics, it is not.
    if has_one_order(world) or not world.tally.restores:
        _check_outputs(world, is_whole)


def has_one_order(world: World) -> bool:
    """Tell whether what becomes of a shard's messages is a function of the topics."""
    return not world.setup.is_racing


def repeats(world: World) -> int:
    """Count the messages that subscribers drop."""
    names = [landed.entry.name for output in world.outputs.partitions for landed in output]
    return len(names) - len(set(names))


def _check_shard(world: World, partition: int, is_whole: bool) -> None:
    state, topics = world.store.shard(partition), range(world.setup.topics)
    log = [world.log.of(topic, partition) for topic in topics]
    truth = _truth(world, partition)
    if twice := state.rows.keys() & state.cold.keys():
        raise Violation(f"{sorted(twice)} are stored as cold and as warm")
    stored = {**state.rows, **state.cold}
    for user in sorted({*truth, *stored}) if is_whole else stored:
        row = stored.get(user, Row(()))
        if has_one_order(world):
            expected = truth[user].story if user in truth else ()
            _compare(f"the story of {user}", row.story, expected, is_whole)
        else:
            for topic, messages in enumerate(log):
                _compare(f"{user} in topic {topic}", _seen(row, topic), _sent(messages, user), is_whole)
        if world.store.owners.get(user) != partition:
            raise Violation(f"{user} is stored by two shards")
        _compare(f"changes ever written of {user}", _changes(state, user), changes_of(user, row.story), True)
    _compare(
        f"audiences of shard {partition}",
        sorted(state.audiences),
        sorted((user, row.rung) for user, row in stored.items()),
        True,
    )
    _check_letters(state, [f"dead {one.name}" for one in _refused(log)], is_whole)


def _check_letters(state: ShardState, expected: Sequence[str], is_whole: bool) -> None:
    letters = Counter(entry.name for entry in state.written if entry.name.startswith("dead"))
    if letters and max(letters.values()) > 1:
        raise Violation(f"dead letter written twice: {letters.most_common(1)[0][0]}")
    if letters.keys() - set(expected) or (is_whole and set(expected) - letters.keys()):
        raise Violation(f"dead letters {sorted(letters)}, expected {sorted(expected)}")


def _check_outputs(world: World, is_whole: bool) -> None:
    first: dict[str, Entry] = {}
    newest: Counter[str] = Counter()
    for output in world.outputs.partitions:
        for _, entry in output:
            if entry.name in first:
                if first[entry.name].content != entry.content:
                    raise Violation(f"{entry.name} was published with two contents")
                continue
            first[entry.name] = entry
            if not entry.name.startswith("dead"):
                newest[entry.user] += 1
                if entry.name != f"{entry.user}:{newest[entry.user]}":
                    raise Violation(f"{entry.name} came where {entry.user}:{newest[entry.user]} was due")
    if is_whole:
        states = [world.store.shard(partition) for partition in range(world.log.partitions)]
        due = {entry.name: entry.content for state in states for entry in state.written}
        _compare("published names", sorted(first), sorted(due), True)
        for name, content in due.items():
            _compare(f"content of {name}", first[name].content, content, True)


def _truth(world: World, partition: int) -> dict[str, Row]:
    """Fold the log, once and in order."""
    shard = Shard(partition, world.setup.topics)
    for topic in range(world.setup.topics):
        shard.add(world.log.of(topic, partition))
    shard.advance([True] * world.setup.topics)
    shard.fire()
    return {user: row for user, row in shard.rows.items() if row.story}


def _compare(what: str, found: Sequence[object], expected: Sequence[object], is_whole: bool) -> None:
    if not is_whole:
        expected = expected[: len(found)]
    for place, (one, other) in enumerate(zip_longest(found, expected, fillvalue="nothing")):
        if one != other:
            raise Violation(f"{what}: number {place} is {one}, expected {other}")


def _seen(row: Row, topic: int) -> list[str]:
    return [what.rstrip("!") for what in row.story if what[0] == "abc"[topic]]


def _sent(messages: Sequence[Message], user: str) -> list[str]:
    return [one.name for one in messages if one.user == user and one.kind in ("loud", "quiet")]


def _refused(log: Sequence[Sequence[Message]]) -> list[Message]:
    return [one for messages in log for one in messages if one.kind in ("refused", "broken")]


def _changes(state: ShardState, user: str) -> list[tuple[str, tuple[str, ...]]]:
    mine = [entry for entry in state.written if entry.user == user]
    return [(entry.name, entry.content) for entry in mine if not entry.name.startswith("dead")]
