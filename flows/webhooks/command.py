"""The commands `tierwise webhooks`, `list` and `resend`. This file runs them."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

from config.settings import Settings
from flows.dead_letters.action import DONE, Action, run_action
from flows.dead_letters.letter import Letter
from flows.dead_letters.reading import LetterReader
from flows.dead_letters.wording import safe
from flows.webhooks import arguments
from flows.webhooks.parked import Filter, still_parked
from flows.webhooks.resending import FLUSH_S, SENT, Resender, open_producer
from flows.webhooks.service import agent, deliver

FAILED, WRONG = 1, 2


def run(settings: Settings, parsed: argparse.Namespace) -> int:
    """Deliver; answer the exit code."""
    known = {one.name: one for one in settings.webhooks.endpoints}
    if unknown := [name for name in parsed.only if name not in known]:
        return _fail(f"--endpoint: no endpoint is named {unknown[0]}; known: {', '.join(known)}", WRONG)
    if not known:
        return _fail("webhooks.endpoints: there is none; name one with its url and secrets", WRONG)
    return deliver(settings, [known[name] for name in dict.fromkeys(parsed.only)] or list(known.values()))


def act(settings: Settings, parsed: argparse.Namespace) -> int:
    """Run a command that looks at the topic of parked changes; answer the exit code."""
    return run_action(settings, parsed, _fail)


def _list(settings: Settings, parsed: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    with _reader(settings) as reader:
        for letter in _chosen(reader, _filter(parsed)):
            counts[f"{letter.text('endpoint')} {letter.reason}"] += 1
            print(_line(letter))
    total = ", ".join(f"{safe(name)} {count}" for name, count in counts.most_common())
    print(f"{_number_of(counts.total())} parked{f': {total}' if total else ''}")
    return DONE


def _resend(settings: Settings, parsed: argparse.Namespace) -> int:
    by_filter = parsed.all or parsed.endpoint or parsed.reason or parsed.since is not None
    if not (parsed.ids or by_filter) or (parsed.ids and parsed.all):
        return _fail("say which: ID..., or --all, --endpoint, --reason or --since", WRONG)
    missing = set(parsed.ids)
    with _reader(settings) as reader:
        letters = _without(missing, _chosen(reader, _filter(parsed)))
        if parsed.dry_run:
            lines = [_line(letter) for letter in letters]
            print("\n".join([*lines, f"would resend {_number_of(len(lines))}"]))
        else:
            outcome = _send(settings, letters)
            print(_told(outcome))
    for message_id in sorted(missing):
        _fail(f"{message_id} is not parked")
    return FAILED if missing or (not parsed.dry_run and outcome.keys() - {SENT}) else DONE


def _without(missing: set[str], letters: Iterator[Letter]) -> Iterator[Letter]:
    for letter in letters:
        missing.discard(letter.text("webhook_id") or "")
        yield letter


def _told(outcome: Counter[str]) -> str:
    left = {why: count for why, count in outcome.most_common() if why != SENT}
    whys = ", ".join(f"{safe(why)} {count}" for why, count in left.items())
    return f"resent {_number_of(outcome[SENT])}" + (f"; left {sum(left.values())}: {whys}" if left else "")


def _send(settings: Settings, letters: Iterator[Letter]) -> Counter[str]:
    known = {one.name: one for one in settings.webhooks.endpoints}
    outcome: Counter[str] = Counter()
    producer = open_producer(settings.kafka)
    resenders: dict[str, Resender] = {}
    try:
        for letter in letters:
            name = letter.text("endpoint") or ""
            if name not in known:
                outcome["of no endpoint of the settings"] += 1
                continue
            if name not in resenders:
                resenders[name] = Resender(known[name], agent(), producer, settings.webhooks.parked)
            resenders[name].add(letter)
        for resender in resenders.values():
            resender.finish()
    finally:
        for resender in resenders.values():
            outcome += resender.outcome
        if unsaid := producer.flush(FLUSH_S):
            _fail(f"{unsaid} were sent, but the broker did not take that down: they are still listed")
    return outcome


def _chosen(reader: LetterReader, wanted: Filter) -> Iterator[Letter]:
    """Read the topic twice: what is still parked is known only at its end."""
    places = still_parked(reader.all(), wanted)
    starts: dict[int, int] = {}
    for place in places:
        starts[place.partition] = min(place.offset, starts.get(place.partition, place.offset))
    if not starts:
        return
    for letter in reader.read(starts):
        if letter.place in places:
            places.remove(letter.place)
            yield letter
            if not places:
                return


def _reader(settings: Settings) -> LetterReader:
    return LetterReader(settings, (settings.webhooks.parked, "webhooks.parked"))


def _filter(parsed: argparse.Namespace) -> Filter:
    return Filter(getattr(parsed, "ids", ()), parsed.endpoint, parsed.reason, parsed.since)


def _line(letter: Letter) -> str:
    parts = (
        *(letter.text("webhook_id"), letter.text("endpoint"), letter.text("parked_at"), letter.reason),
        *(f"attempts {letter.text('attempts')}", letter.text("detail")),
    )
    return "  ".join(safe(part or "-") for part in parts)


def _number_of(count: int) -> str:
    return f"{count} change" if count == 1 else f"{count} changes"


def _fail(message: str, code: int = FAILED) -> int:
    print(f"tierwise webhooks: {safe(message)}", file=sys.stderr)
    return code


ACTIONS = (
    Action("list", "list what was parked, and why", arguments.LIST_TEXT, arguments.add_list, _list),
    Action("resend", "send parked changes again", arguments.RESEND_TEXT, arguments.add_resend, _resend),
)
