"""Values as people read them. This file scales, rounds and names units, and chooses the marks of an axis."""

import math
from typing import NamedTuple

_SIZES = {
    "s": ((1e-3, "ms"), (1, "s"), (60, "min"), (3_600, "h"), (86_400, "d")),
    "bytes": ((1, "B"), (1_024, "KiB"), (1_024**2, "MiB"), (1_024**3, "GiB")),
    "percentunit": ((0.01, "%"),),
    "mps": ((1, "/s"), (1e3, "k/s"), (1e6, "M/s")),
    "cps": ((1, "/s"), (1e3, "k/s"), (1e6, "M/s")),
    "short": ((1, ""), (1e3, "k"), (1e6, "M")),
    "none": ((1, ""),),
}
_STEPS = (1, 2, 2.5, 5, 10)
MARKS = 4


class Scale(NamedTuple):
    """How values of about one size are written."""

    size: float
    suffix: str

    def shown(self, value: float) -> str:
        """Write a value with three digits that count."""
        if value == 0:
            return "0"
        scaled = value / self.size
        digits = 0 if abs(scaled) >= 100 or scaled == int(scaled) else 1 if abs(scaled) >= 10 else 2
        text = f"{scaled:.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return f"{text} {self.suffix}" if self.suffix not in ("", "%") else f"{text}{self.suffix}"


def scale_of(unit: str, value: float) -> Scale:
    """Choose the largest size of a unit that the value fills."""
    sizes = _SIZES[unit]
    fitting = [one for one in sizes if one[0] <= abs(value)]
    return Scale(*(fitting[-1] if fitting else sizes[0]))


def axis_marks(unit: str, largest: float) -> list[float]:
    """List round values from 0 to at least the largest one, about four steps."""
    size = scale_of(unit, largest).size
    needed = largest / size / MARKS if largest > 0 else 1.0
    power: float = 10.0 ** math.floor(math.log10(needed))
    step = next(one * power for one in _STEPS if one * power >= needed * 0.999)
    return [number * step * size for number in range(max(math.ceil(largest / size / step), 1) + 1)]
