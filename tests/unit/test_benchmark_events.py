"""The events of the benchmarks."""

import hashlib
from collections import Counter

import pytest

from benchmarks.generator import LOCALITIES, SESSION_EVENTS_MEAN, SESSIONS_OPEN, events

END_MS = 1_790_000_000_000
USERS, COUNT = 10_000, 20_000


def users_of(locality: str) -> list[bytes]:
    """Answer whose events they are, one after the other."""
    return [message.key for message in events(COUNT, USERS, END_MS, locality)]


def test_events__uniform_ones_are_those_of_the_saved_results() -> None:
    """What was measured once can be measured again: not a byte is another."""
    digest = hashlib.sha256()
    for message in events(2_000, 1_000, END_MS):
        digest.update(repr(tuple(message)).encode())
    assert digest.hexdigest() == "b8cdfddc23ad57994f2416473e1423d5e64ffc7c5fb8095fa55827e743aa922e"


@pytest.mark.parametrize("locality", LOCALITIES)
def test_events__are_the_same_each_time(locality: str) -> None:
    """A run can be repeated; all users are within the range."""
    users = users_of(locality)
    assert users == users_of(locality)
    assert {len(user) for user in users} == {8}
    assert 0 <= int(min(users)[1:]) <= int(max(users)[1:]) < USERS


def test_events__localities_are_what_their_names_say() -> None:
    """Uniform spreads; Zipf has a user who is a tenth of all; sessions come back at once, and then not."""
    most = {locality: Counter(users_of(locality)).most_common(1)[0][1] for locality in LOCALITIES}
    assert most["uniform"] < 15
    assert COUNT / 12 < most["zipf"] < COUNT / 8
    sessions = users_of("session")
    assert len(set(sessions)) < SESSIONS_OPEN + 1.2 * COUNT / SESSION_EVENTS_MEAN
    late = Counter(sessions[-SESSIONS_OPEN:])
    assert len(late) < SESSIONS_OPEN
