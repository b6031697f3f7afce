"""`tierwise demo`: a shop, a broker, a worker and a store, live on this machine. This file runs it all."""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live

from config.policy_file import load_policy
from flows.dev.arguments import positive, positive_int
from flows.dev.change_feed import Change, ChangeFeed
from flows.dev.child import Child, ChildFailed
from flows.dev.demo_state import DemoState, sentence
from flows.dev.demo_view import draw, plain_line, plain_summary
from flows.dev.generator import ORDERS, Message, generate
from flows.dev.load import Loader, LoadFailed
from flows.dev.replay import replay
from flows.dev.stack import CHANGES, PARTITIONS, POLICY, PREFIX, Stack, how_to_look
from flows.dev.worker_metrics import CONSUMED, OUTBOX_PENDING, fetch_metrics
from sinks.keyspace import Keyspace
from sinks.redis_client import open_client

EVENTS, USERS, RATE, SEED = 200_000, 5_000, 4_000.0, 1
STORY_MS = 180 * 86_400_000  # Half a year: long enough to see the first ones churn.
SCREEN_PERIOD_S, LINES_PERIOD_S = 0.25, 1.0
SETTLED_AFTER_S = 1.0
LINES_WHILE_STARTING = 5  # Then only every fifth line is printed.
DONE, FAILED, WRONG_USAGE = 0, 1, 2


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tierwise demo`."""
    parser.add_argument(
        "--events", type=positive_int, help=f"messages to send [{EVENTS:,}; with --input: all]"
    )
    parser.add_argument(
        "--users", type=positive_int, default=USERS, help=f"customers of the shop [{USERS:,}]"
    )
    parser.add_argument(
        "--rate", type=positive, help=f"messages a second [{RATE:,.0f}; with --input: as fast as possible]"
    )
    parser.add_argument("--seed", type=int, default=SEED, help=f"another number, another shop [{SEED}]")
    parser.add_argument(
        "--input", type=Path, metavar="FILE", help="replay real events from FILE.jsonl[.gz] instead"
    )
    parser.add_argument("--no-ui", action="store_true", help="plain lines, also on a terminal")
    parser.add_argument(
        "--keep", action="store_true", help="leave everything up until Ctrl-C and tell how to look"
    )


def run_demo(args: argparse.Namespace) -> int:
    """Run the demo and return its exit code; whatever happens, nothing is left running."""
    if args.input and not args.input.is_file():
        print(f"tierwise demo: --input: no file {args.input}", file=sys.stderr)
        return WRONG_USAGE
    with terminated_is_interrupted():
        try:
            # Time stays with the data: a demo that stalls for a moment must not make its users grow old.
            overrides = {"watermark": {"idle_after": "never"}}
            with Stack([ORDERS], overrides) if args.input else Stack(overrides=overrides) as stack:
                return _Demo(stack, args).run()
        except KeyboardInterrupt:
            print("tierwise demo: interrupted, everything is stopped", file=sys.stderr)
        except (ChildFailed, LoadFailed) as error:
            print(f"tierwise demo: {error}", file=sys.stderr)
    return FAILED


class _Demo:
    def __init__(self, stack: Stack, args: argparse.Namespace) -> None:
        self._stack = stack
        self._args = args
        self._state = DemoState(
            load_policy(POLICY).ladders, expected=None if args.input else args.events or EVENTS
        )
        self._loader = Loader(
            stack.kafka.bootstrap, _messages(args), args.rate or (None if args.input else RATE)
        )
        self._feed = ChangeFeed(stack.kafka.client_settings, CHANGES, PARTITIONS)
        self._store = open_client(stack.valkey.url)
        self._lines = 0
        self._printed: Change | None = None
        self._settled_since = self._started = time.monotonic()

    def run(self) -> int:
        """Start the worker and the shop, show what happens until all is scored, and perhaps stay."""
        worker = self._stack.start_worker()
        with ThreadPoolExecutor(1, "loader") as threads:
            loading = threads.submit(self._loader.run)
            try:
                self._watch(worker, loading)
            finally:
                self._loader.stop()
                self._feed.close()
        print(plain_summary(self._state), flush=True)
        if self._args.keep:
            self._stay(worker)
        return DONE

    def _watch(self, worker: Child, loading: Future[int]) -> None:
        console = Console()
        with_screen = console.is_terminal and not self._args.no_ui
        live = (
            Live(draw(self._state, console.width), console=console, auto_refresh=False)
            if with_screen
            else None
        )
        period_s = SCREEN_PERIOD_S if with_screen else LINES_PERIOD_S
        if live:
            live.start()
        try:
            due = 0.0
            while not self._is_over(loading):
                self._follow_changes(announce=live is None)
                if time.monotonic() >= due:
                    due = time.monotonic() + period_s
                    self._look()
                    _raise_troubles(worker, loading)
                    if live:
                        live.update(draw(self._state, console.width), refresh=True)
                    else:
                        self._print_lines()
            self._look()
        finally:
            if live:
                live.update(draw(self._state, console.width), refresh=True)
                live.stop()

    def _follow_changes(self, announce: bool) -> None:
        changes = self._feed.take(timeout_s=0.1)
        is_first = self._state.first_tier_change is None
        self._state.elapsed_s = time.monotonic() - self._started
        self._state.saw_changes(changes)
        if changes:
            self._settled_since = time.monotonic()
        if announce and is_first and self._state.first_tier_change:
            after_s, change = self._state.first_tier_change
            print(f"first tier change after {after_s:.1f} s: {sentence(change)}", flush=True)

    def _print_lines(self) -> None:
        self._lines += 1
        if not self._state.worker_is_up and self._lines % LINES_WHILE_STARTING != 1:
            return
        print(plain_line(self._state), flush=True)
        news = self._state.newsworthy
        if news and news is not self._printed:
            self._printed = news
            print(f"          {sentence(news)}", flush=True)

    def _look(self) -> None:
        """Ask the worker how far it is and the store how many users stand where."""
        state = self._state
        metrics = fetch_metrics(self._stack.http_port)
        if metrics is not None:
            state.worker_is_up = CONSUMED in metrics
            state.counters = metrics
        scored = int(state.counters.get(CONSUMED, 0))
        state.saw_progress(time.monotonic() - self._started, self._loader.delivered, scored)
        keys = Keyspace(PREFIX)
        pipeline = self._store.pipeline(transaction=False)
        for ladder in state.ladders:
            for rung in ladder.rungs:
                pipeline.scard(keys.audience(ladder.name, rung.name).decode())
        counts = iter(pipeline.execute())
        state.rungs = {ladder.name: list(islice(counts, len(ladder.rungs))) for ladder in state.ladders}

    def _is_over(self, loading: Future[int]) -> bool:
        """Tell whether all was scored and published, and the change topic has been silent for a moment."""
        if not loading.done() or loading.exception():
            return False
        state = self._state
        published = state.counters.get(OUTBOX_PENDING, 0) == 0 and self._feed.at_end
        if not (published and state.scored >= self._loader.delivered):
            self._settled_since = time.monotonic()
        return time.monotonic() - self._settled_since > SETTLED_AFTER_S

    def _stay(self, worker: Child) -> None:
        user_id = self._state.latest[-1].user_id if self._state.latest else "u1"
        print(how_to_look(self._stack, user_id), flush=True)
        try:
            while worker.exit_code is None:
                time.sleep(0.2)
        except KeyboardInterrupt:
            return
        _raise_troubles(worker)


def _messages(args: argparse.Namespace) -> Iterator[Message]:
    if args.input:
        return islice(replay(args.input, ORDERS), args.events)
    end_ms = time.time_ns() // 1_000_000
    return generate(args.events or EVENTS, args.users, args.seed, end_ms - STORY_MS, end_ms)


def _raise_troubles(worker: Child, loading: Future[int] | None = None) -> None:
    if worker.exit_code is not None:
        raise ChildFailed(
            f"the worker ended with exit code {worker.exit_code}; its log ends:\n{worker.log_tail()}"
        )
    if loading and loading.done():
        loading.result()


@contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """Let SIGTERM take the way of Ctrl-C, so that both stop the children in order."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # A shell starts its background jobs deaf to SIGINT, so that one is set as well.
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
