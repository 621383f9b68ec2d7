"""Scales and ticks: from values to places in a drawing, and the labels that fit beside an axis."""

import dataclasses
import math

# Widths of characters at the drawings' font size, rounded up.
CHARACTER, WIDE_CHARACTER = 6.6, 10.5
GAP = 8


def width(text):
    return sum(WIDE_CHARACTER if character in "%+±" else CHARACTER for character in text)


@dataclasses.dataclass(frozen=True)
class Axis:
    """Values `low...high` on places `start...end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = True

    def __call__(self, value):
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return round(self.start + (value - low) / (high - low) * (self.end - self.start), 2)


def logarithmic(values, start, end, margin=0.06):
    """An axis with some room at both ends."""
    low, high = min(values), max(values)
    room = max((high / low) ** margin, 1.05)
    return Axis(low / room, high * room, start, end)


def linear(low, high, start, end):
    return Axis(low, high if high > low else low + 1, start, end, logarithmic=False)


def round_ticks(axis):
    """1, 2 and 5 times powers of ten; on a linear axis multiples of such a step."""
    if axis.logarithmic:
        powers = range(math.floor(math.log10(axis.low)), math.ceil(math.log10(axis.high)) + 1)
        for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
            ticks = [m * 10.0**p for p in powers for m in steps if axis.low <= m * 10.0**p <= axis.high]
            if len(ticks) >= 2:
                return ticks
        return ticks
    step = 10 ** math.floor(math.log10((axis.high - axis.low) / 2))
    for factor in (1, 2, 5, 10):
        if (axis.high - axis.low) / (step * factor) <= 6:
            break
    step *= factor
    first = math.ceil(axis.low / step - 1e-9)
    return [n * step for n in range(first, math.floor(axis.high / step + 1e-9) + 1)]


def binary_ticks(axis):
    """Powers of two."""
    powers = range(math.ceil(math.log2(axis.low)), math.floor(math.log2(axis.high)) + 1)
    return [2.0**p for p in powers]


def labelled(axis, ticks, text, upright=False):
    """(place, label) of the ticks; a label that would touch the one before is left empty.

    The last tick is labelled in any case, as the end of the range tells the most.
    """
    chosen = []
    for tick in sorted(ticks, reverse=True):
        label = text(tick)
        place = axis(tick)
        size = 12 if upright else width(label)
        fits = all(abs(place - other) >= (size + other_size) / 2 + (2 if upright else GAP)
                   for other, _, other_size in chosen)
        if fits:
            chosen.append((place, label, size))
    names = {place: label for place, label, _ in chosen}
    return [(axis(tick), names.get(axis(tick), "")) for tick in sorted(ticks)]


def shown_number(value):
    """Three significant digits at most, in plain notation."""
    if value == 0:
        return "0"
    if value == int(value) and abs(value) < 10_000:
        return f"{value:.0f}"
    if abs(value) >= 1000:
        for factor, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= factor:
                return f"{value / factor:.3g}{suffix}"
    return f"{value:.3g}"


def shown_bytes(value):
    for factor, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.3g} B"


def shown_time(seconds):
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"
