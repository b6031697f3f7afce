"""A whole dashboard as one SVG: panels where the JSON places them. This file draws the page and its numbers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.dev.dashboards.chart import COLOURS, FAINT, Mark, Named, draw_chart
from flows.dev.dashboards.svg import Box, element, rectangle, text
from flows.dev.dashboards.units import scale_of

COLUMN, LINE, GAP, HEAD, FOOT = 60, 28, 6, 44, 46
PAGE, PANEL, EDGE, BRIGHT = "#111217", "#181b1f", "#25282d", "#d8d9da"
FONT = "Inter, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Look:
    """
    What a dashboard shows at one time.

    Attributes:
        span: first and last moment, Unix s.
        found: by panel id, the answers to its questions with their names in the legend.
        chosen: what stands at the top, as text.
    """

    span: tuple[float, float]
    found: Mapping[int, Sequence[Named]]
    marks: Sequence[Mark]
    chosen: str


def draw_page(document: dict[str, Any], look: Look, caption: Sequence[str]) -> str:
    """Draw a dashboard of stats and time series, with lines of text below."""
    lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in document["panels"])
    page = Box(0, 0, 24 * COLUMN + 2 * GAP, HEAD + lines * LINE + FOOT)
    inside = [
        rectangle(page, fill=PAGE),
        text(document["title"], 2 * GAP, 28, font_size=18, fill=BRIGHT),
        text(look.chosen, page.right - 2 * GAP, 28, font_size=12, fill=FAINT, text_anchor="end"),
        *(shown for panel in document["panels"] for shown in _panel(panel, look)),
        *(
            text(said, 2 * GAP, page.bottom - FOOT + 18 * number, font_size=12, fill=FAINT)
            for number, said in enumerate(caption, 1)
        ),
    ]
    size = {"width": f"{page.width:g}", "height": f"{page.height:g}"}
    return element(
        "svg",
        "\n" + "\n".join(inside) + "\n",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {size['width']} {size['height']}",
        font_family=FONT,
        font_size=11,
        role="img",
        aria_label=caption[0],
        **size,
    )


def _panel(panel: dict[str, Any], look: Look) -> Iterator[str]:
    place = panel["gridPos"]
    box = Box(
        GAP + place["x"] * COLUMN + GAP / 2,
        HEAD + place["y"] * LINE + GAP / 2,
        place["w"] * COLUMN - GAP,
        place["h"] * LINE - GAP,
    )
    if panel["type"] == "row":
        yield text(panel["title"], box.x, box.y + 16, font_size=14, fill=BRIGHT)
        return
    yield rectangle(box, fill=PANEL, stroke=EDGE, rx=2)
    yield text(panel["title"], box.x + 10, box.y + 19, font_size=12.5, fill=BRIGHT)
    inside = Box(box.x, box.y + 32, box.width, box.height - 36)
    found = look.found[panel["id"]]
    if panel["type"] == "stat":
        yield _number(panel, found, inside)
    else:
        yield from draw_chart(panel, found, look.marks, inside, look.span)


def _number(panel: dict[str, Any], found: Sequence[Named], box: Box) -> str:
    """Write the newest value in the colour of its step."""
    defaults = panel["fieldConfig"]["defaults"]
    value = found[0][1].points[-1][1] if found else math.nan
    at = {"x": box.x + box.width / 2, "y": box.y + box.height / 2 + 10}
    if not math.isfinite(value):
        return text("No data", **at, font_size=26, fill=FAINT, text_anchor="middle")
    steps = [one for one in defaults["thresholds"]["steps"] if one["value"] is None or value >= one["value"]]
    shown = scale_of(defaults["unit"], value).shown(value)
    return text(shown, **at, font_size=32, fill=COLOURS[steps[-1]["color"]], text_anchor="middle")
