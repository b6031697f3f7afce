"""Just enough SVG. This file writes its elements as text."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]


class Box(NamedTuple):
    """A place on the page, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Answer where it ends."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Answer where it ends below."""
        return self.y + self.height


def element(name: str, content: str = "", /, **attributes: str | float) -> str:
    """Write one element; an underscore in an attribute's name stands for a hyphen."""
    written = "".join(
        f" {key.replace('_', '-')}={quoteattr(_short(value))}" for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


def text(content: str, x: float, y: float, **attributes: str | float) -> str:
    """Write a line of text; x and y are those of its baseline."""
    return element("text", escape(content), x=x, y=y, **attributes)


def rectangle(box: Box, **attributes: str | float) -> str:
    """Write a rectangle."""
    return element("rect", x=box.x, y=box.y, width=box.width, height=box.height, **attributes)


def line(start: Point, end: Point, **attributes: str | float) -> str:
    """Write one straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], **attributes)


def polyline(points: Sequence[Point], **attributes: str | float) -> str:
    """Write a line through points; what lies on the way between its neighbours is left out."""
    return element("polyline", points=_listed(_bends(points)), fill="none", **attributes)


def polygon(points: Sequence[Point], **attributes: str | float) -> str:
    """Write an area."""
    return element("polygon", points=_listed(points), **attributes)


def _bends(points: Sequence[Point]) -> list[Point]:
    """Leave out what is as high as both its neighbours, to a tenth of a pixel."""
    heights = [round(y, 1) for _, y in points]
    inner = (
        points[at]
        for at in range(1, len(points) - 1)
        if not heights[at - 1] == heights[at] == heights[at + 1]
    )
    return [points[0], *inner, points[-1]] if len(points) > 1 else list(points)


def _listed(points: Iterable[Point]) -> str:
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in points)


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 1):g}" if abs(value) < 1e5 else f"{value:.0f}"
