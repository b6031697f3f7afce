"""This file asks what a message costs to decode: the scanning kernel against the checked path, in one run.

python -m benchmarks.decode [--events N] [--runs N] [--save FILE]
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.record import save_record
from config.policy_file import load_policy
from scoring.decoder import Decoder
from tests.unit.checked_decoder import CheckedDecoder

POLICY = Path("config/policies/ecommerce.yaml")
NOW_MS = 1_767_225_600_000
FUTURE_TOLERANCE_MS = 300_000
RUBBISH = (
    b"not json",
    b"{}",
    b'{"event_id":',
    b"[1]",
    b'{"event_id":1,"user_id":"u","type":"t","event_time":1}',
)


def messages(
    count: int, types: tuple[str, ...], rubbish_share: float, rng: random.Random
) -> list[bytes | None]:
    """Write events of about 200 bytes, one in ten an order, some of them rubbish."""
    values: list[bytes | None] = []
    for number in range(count):
        event: dict[str, object] = {
            "event_id": f"evt-{number:012d}",
            "user_id": f"u{rng.randrange(100_000)}",
            "type": rng.choice(types),
            "event_time": f"2026-01-01T00:00:{number % 60:02d}.{number % 1000:03d}Z",
            "item_id": f"item-{rng.randrange(5000)}",
            "category": rng.choice(("shoes", "books", "toys", "鞋")),
            "channel": rng.choice(("app", "web")),
            "scene": "search",
        }
        if number % 10 == 0:
            event |= {"type": "order_paid", "order_id": f"ord-{number}", "amount": f"{number % 500}.95"}
        text = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
        values.append(rng.choice(RUBBISH) if rng.random() < rubbish_share else text)
    return values


def microseconds(decoder: Decoder, values: list[bytes | None], runs: int) -> list[float]:
    """Time whole batches after one warm-up, per message."""
    offsets, ingest_time_ms = np.arange(len(values)), np.full(len(values), NOW_MS + 60_000)
    decode: Callable[[], object] = lambda: decoder.decode(0, 0, values, offsets, ingest_time_ms)  # noqa: E731
    decode()
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        decode()
        taken.append((time.perf_counter() - started) / len(values) * 1e6)
    return taken


def main() -> None:
    """Measure three variants in turn and print medians, spreads and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, help="messages a batch [10000]")
    parser.add_argument("--runs", type=int, default=9, help="timed runs a variant [9]")
    parser.add_argument("--save", type=Path, help="write the result as JSON")
    options = parser.parse_args()
    policy = load_policy(POLICY)
    types = tuple(event.name for event in policy.events if not event.order and not event.refund)
    clean = messages(options.events, types, 0.0, random.Random(1))
    soiled = messages(options.events, types, 0.01, random.Random(1))
    fast, checked = (kind(policy, FUTURE_TOLERANCE_MS) for kind in (Decoder, CheckedDecoder))
    taken = {
        "kernel": microseconds(fast, clean, options.runs),
        "kernel, 1% rubbish": microseconds(fast, soiled, options.runs),
        "checked path": microseconds(checked, clean, options.runs),
    }
    for variant, runs in taken.items():
        print(f"{variant:<20} {median(runs):8.3f} us per message  ({min(runs):.3f} to {max(runs):.3f})")
    ratio = median(taken["checked path"]) / median(taken["kernel"])
    size = sum(len(value or b"") for value in clean) / len(clean)
    print(
        f"checked path / kernel = {ratio:.0f}, {size:.0f} bytes a message, {options.events} messages a batch"
    )
    save_record(
        options.save,
        {
            "settings": {
                "events": options.events,
                "runs": options.runs,
                "bytes": size,
                "policy": policy.label,
            },
            "us_per_message": taken,
            "ratio": ratio,
        },
    )


if __name__ == "__main__":
    main()
