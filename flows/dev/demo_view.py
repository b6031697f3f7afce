"""Draw the demo, as a picture for a terminal or as plain lines. This file only reads the state."""

from itertools import zip_longest

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.dev.demo_state import LATEST_COUNT, DemoState, sentence
from flows.dev.worker_metrics import DEAD_LETTERED, DUPLICATE
from scoring.policy import Ladder

BAR_WIDTH = 20
SIDE_BY_SIDE_WIDTH, LADDERS_WIDTH = 120, 46
LATEST_WHEN_NARROW = 6
MOVERS_COUNT = 5
RUNG_COLOURS = ("grey62", "cyan", "yellow", "magenta", "green", "red")


def draw(state: DemoState, width: int) -> RenderableType:
    """Draw everything for a terminal, side by side where it is wide enough for a whole sentence."""
    hint = Text("Ctrl-C ends it all", style="dim")
    panels = [*_ladders(state), _tags(state)]
    if width < SIDE_BY_SIDE_WIDTH:
        ladders = Table.grid(expand=True)
        for _ in range(2):
            ladders.add_column(ratio=1)
        for left, right in zip_longest(panels[::2], panels[1::2], fillvalue=""):
            ladders.add_row(left, right)
        return Group(_head(state), _latest(state, LATEST_WHEN_NARROW), ladders, _movers(state), hint)
    body = Table.grid(expand=True)
    body.add_column(width=LADDERS_WIDTH)
    body.add_column(ratio=1)
    body.add_row(Group(*panels), Group(_latest(state, LATEST_COUNT), _movers(state)))
    return Group(_head(state), body, hint)


def plain_line(state: DemoState) -> str:
    """Write the state in one line: progress, speed, and the first ladder's rungs."""
    ladder = state.ladders[0]
    counts = state.rungs.get(ladder.name, [])
    rungs = " ".join(f"{rung.name} {count:,}" for rung, count in zip(ladder.rungs, counts))
    progress = f"{state.elapsed_s:6.1f} s  scored {state.scored:,} of {_expected(state)}"
    if not state.worker_is_up:
        return f"{progress}  the worker is starting (its first start compiles), {state.sent:,} messages wait"
    speed = f"{state.rate:,.0f}/s  lag {state.lag:,}"
    return f"{progress}  {speed}  {ladder.name}: {rungs}  changes {state.changes:,}"


def plain_summary(state: DemoState) -> str:
    """Write what came of it all, one line a ladder."""
    counted = f"{state.scored:,} messages in {state.elapsed_s:.1f} s"
    duplicates, dead = state.counters.get(DUPLICATE, 0), state.counters.get(DEAD_LETTERED, 0)
    odd = f"{duplicates:,.0f} duplicates, {dead:,.0f} dead letters"
    causes = ", ".join(f"{cause} {count:,}" for cause, count in state.causes.most_common())
    lines = [f"done: {counted}, {odd}; {state.changes:,} ladder changes ({causes})"]
    for ladder in state.ladders:
        counts = zip(ladder.rungs, state.rungs.get(ladder.name, []))
        shown = [(rung.name, count) for rung, count in counts if not (ladder.tag and rung.name == "off")]
        lines.append(f"  {ladder.name:<16} " + "  ".join(f"{name} {count:,}" for name, count in shown))
    risers, fallers = state.movers(MOVERS_COUNT)
    lines += [f"  riser   {line}" for line in risers] + [f"  faller  {line}" for line in fallers]
    return "\n".join(lines)


def _expected(state: DemoState) -> str:
    return f"{state.expected:,}" if state.expected is not None else f"{state.sent:,}"


def _head(state: DemoState) -> RenderableType:
    title = "tierwise demo"
    if not state.worker_is_up:
        return Panel(
            Text(f"the worker is starting (its first start compiles); {state.sent:,} messages wait"),
            title=title,
        )
    line = Text()
    line.append(f"{state.rate:,.0f} events/s", style="bold green")
    line.append(f"   lag {state.lag:,}", style="bold red" if state.lag > state.rate * 5 else "bold")
    line.append(f"   scored {state.scored:,} of {_expected(state)}   changes {state.changes:,}")
    line.append(f"   {state.elapsed_s:.0f} s   story: {state.story_time}")
    bar = ProgressBar(total=state.expected or max(state.sent, 1), completed=state.scored)
    return Panel(Group(line, bar), title=title)


def _ladders(state: DemoState) -> list[RenderableType]:
    ladders = [ladder for ladder in state.ladders if not ladder.tag]
    return [_ladder(ladder, state.rungs.get(ladder.name, [])) for ladder in ladders]


def _ladder(ladder: Ladder, counts: list[int]) -> RenderableType:
    table = _bars()
    whole = max(sum(counts), 1)
    for rank, (rung, count) in reversed(list(enumerate(zip(ladder.rungs, counts)))):
        _add_bar(table, rung.name, count, count / whole, RUNG_COLOURS[rank % len(RUNG_COLOURS)])
    return Panel(table, title=ladder.name)


def _tags(state: DemoState) -> RenderableType:
    table = _bars()
    for ladder in state.ladders:
        counts = state.rungs.get(ladder.name, [])
        if ladder.tag and counts:
            users = max(sum(state.rungs.get(state.ladders[0].name, [])), counts[-1], 1)
            _add_bar(table, ladder.name, counts[-1], counts[-1] / users, "blue")
    return Panel(table, title="tags")


def _bars() -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=12)
    table.add_column(justify="right", min_width=7)
    table.add_column()
    return table


def _add_bar(table: Table, name: str, count: int, share: float, colour: str) -> None:
    width = max(round(share * BAR_WIDTH), 1 if count else 0)
    table.add_row(name, f"{count:,}", Text("█" * width, style=colour))


def _latest(state: DemoState, count: int) -> RenderableType:
    text = Text(no_wrap=True, overflow="ellipsis")
    for change in list(reversed(state.latest))[:count]:
        text.append(sentence(change) + "\n", style="green" if change.direction == "up" else "red")
    return Panel(text, title="latest changes")


def _movers(state: DemoState) -> RenderableType:
    risers, fallers = state.movers(MOVERS_COUNT)
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1, no_wrap=True)
    table.add_column(ratio=1, no_wrap=True)
    table.add_row(Text("\n".join(risers), style="green"), Text("\n".join(fallers), style="red"))
    return Panel(table, title=f"{state.ladders[0].name}: risers and fallers")
