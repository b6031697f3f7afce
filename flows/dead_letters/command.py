"""The commands `tierwise dead-letters list|show|replay`. This file runs them."""

import argparse
import heapq
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from config.settings import Settings
from flows.dead_letters import arguments, wording
from flows.dead_letters.action import DONE, Action, run_action
from flows.dead_letters.choice import ATTEMPTS_MAX, Chosen, Inputs, choose
from flows.dead_letters.letter import Letter, Place
from flows.dead_letters.reading import LetterReader, LettersUnreadable
from flows.dead_letters.sending import LetterSender

FAILED, WRONG = 1, 2
FAILURES_SHOWN = 10

TEXT = "Look at the messages that were set aside, and send them again once the cause is mended."
LIST_TEXT = """\
Say each dead letter in a line: its place, when and why it was set aside, where it had been
(topic:partition:offset), how often it was replayed, what was wrong, and how it begins.
The last line counts them by reason. Nothing is changed, no worker is disturbed."""
SHOW_TEXT = "Show one dead letter: all of its headers, and its value in full."
REPLAY_TEXT = f"""\
Send dead letters once more to the topic and partition they came from, unchanged, with the header
`attempt`. Each message goes at most {ATTEMPTS_MAX} times; what was applied meanwhile is a duplicate, and does no harm.
The same bytes go once, however often they were set aside. Nothing leaves the dead-letter topic."""


def run(settings: Settings, parsed: argparse.Namespace) -> int:
    """Run one command; answer the exit code."""
    return run_action(settings, parsed, _fail)


def _list(settings: Settings, parsed: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    with LetterReader(settings) as reader:
        letters = _counted(_of_reasons(reader.all(parsed.since), parsed.reason), counts)
        if parsed.limit is not None:
            letters = iter(sorted(heapq.nlargest(parsed.limit, letters, key=_age), key=_age))
        for letter in letters:
            print(wording.json_line(wording.document(letter)) if parsed.json else wording.line(letter))
    if parsed.json:
        print(wording.json_line({"dead_letters": counts.total(), "reasons": dict(counts)}))
    else:
        print(wording.count_line(counts, parsed.limit))
    return DONE


def _show(settings: Settings, parsed: argparse.Namespace) -> int:
    with LetterReader(settings) as reader:
        letter = reader.letter_at(parsed.place)
    if letter is None:
        return _fail(f"{settings.topics.dead_letters} holds no message at {parsed.place}")
    if parsed.raw:
        sys.stdout.buffer.write(letter.value)
        sys.stdout.buffer.flush()
    else:
        print("\n".join(wording.pages(letter)))
    return DONE


def _replay(settings: Settings, parsed: argparse.Namespace) -> int:
    by_filter = parsed.all or parsed.reason or parsed.since is not None
    if bool(parsed.places) == bool(by_filter):
        _fail("say which: PARTITION:OFFSET..., or --all, --reason or --since")
        return WRONG
    with LetterReader(settings) as reader:
        counts = reader.partition_counts()
        inputs = Inputs({topic: counts[topic] for topic in settings.topics.input if topic in counts})
        if parsed.places:
            letters = [_named(reader, place) for place in dict.fromkeys(parsed.places)]
            chosen = choose(letters, inputs, ())
        else:
            chosen = choose(reader.all(parsed.since), inputs, parsed.reason)
        if parsed.dry_run:
            return _tell(_still_there(reader, chosen), chosen, bool(parsed.places))
        return _send(settings, reader, chosen, bool(parsed.places))


def _tell(letters: Iterable[Letter], chosen: Chosen, by_name: bool) -> int:
    """Say what would be sent."""
    would = 0
    for letter in letters:
        source = letter.source
        assert source is not None, letter.place
        target = f"{source.topic} partition {source.partition}, attempt {letter.attempt + 1}"
        print(f"{wording.line(letter)}  -> {wording.safe(target)}")
        would += 1
    print(f"would replay {wording.number_of(would)}{_left_out(chosen)}")
    return FAILED if by_name and chosen.refused else DONE


def _send(settings: Settings, reader: LetterReader, chosen: Chosen, by_name: bool) -> int:
    sender = LetterSender(settings.kafka)
    try:
        for letter in _still_there(reader, chosen):
            sender.send(letter)
    finally:
        sender.finish()
        sent = ", ".join(f"{topic} {count}" for topic, count in sorted(sender.sent.items()))
        told = f"replayed {wording.number_of(sender.sent.total())}"
        print(f"{told}{f' ({sent})' if sent else ''}{_left_out(chosen)}")
    for place, error in islice(sender.failed.items(), FAILURES_SHOWN):
        _fail(f"{place} was not delivered: {error}")
    if len(sender.failed) > FAILURES_SHOWN:
        _fail(f"{len(sender.failed)} were not delivered in all")
    return FAILED if sender.failed or (by_name and chosen.refused) else DONE


def _still_there(reader: LetterReader, chosen: Chosen) -> Iterator[Letter]:
    """Read what was chosen, and count what the topic has let go of meanwhile."""
    waiting = set(chosen.places)
    starts: dict[int, int] = {}
    for place in waiting:
        starts[place.partition] = min(place.offset, starts.get(place.partition, place.offset))
    for letter in reader.read(starts) if starts else ():
        if letter.place in waiting:
            waiting.remove(letter.place)
            yield letter
            if not waiting:
                return
    if waiting:
        chosen.refused["deleted meanwhile"] = len(waiting)


def _left_out(chosen: Chosen) -> str:
    told = f"; left out {chosen.repeats} of the same bytes" if chosen.repeats else ""
    if chosen.refused:
        whys = ", ".join(f"{why} {count}" for why, count in chosen.refused.most_common())
        told += f"; refused {chosen.refused.total()}: {whys}"
    return told


def _named(reader: LetterReader, place: Place) -> Letter:
    letter = reader.letter_at(place)
    if letter is None:
        raise LettersUnreadable(f"the dead-letter topic holds no message at {place}; nothing was sent")
    return letter


def _of_reasons(letters: Iterator[Letter], reasons: list[str]) -> Iterator[Letter]:
    return (letter for letter in letters if letter.reason in reasons) if reasons else letters


def _counted(letters: Iterator[Letter], counts: Counter[str]) -> Iterator[Letter]:
    for letter in letters:
        counts[letter.reason] += 1
        yield letter


def _age(letter: Letter) -> tuple[int, Place]:
    return letter.failed_at_ms, letter.place


def _fail(message: str) -> int:
    print(f"tierwise dead-letters: {wording.safe(message)}", file=sys.stderr)
    return FAILED


ACTIONS = (
    Action("list", "list what was set aside, and why", LIST_TEXT, arguments.add_list, _list),
    Action("show", "show one dead letter in full", SHOW_TEXT, arguments.add_show, _show),
    Action("replay", "send dead letters back to their topic", REPLAY_TEXT, arguments.add_replay, _replay),
)
