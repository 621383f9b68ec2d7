"""The drawings, as places and labels; templates turn them into SVG.

A drawing is as wide as a phone's screen and is enlarged on wider ones, so that its text is never
too small to read. What a colour stands for is told in a legend beside it, and by the form of a mark.
"""

import dataclasses

from axes import (
    Axis, binary_ticks, labelled, linear, logarithmic, round_ticks, shown_bytes, shown_number,
    shown_time, width,
)

WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 40
ROW = 34

# What is drawn, in the order of legends: the name shown, and the form of its marks.
KINDS = {
    "default": ("auto, threads too", "square"),
    "auto": ("auto", "diamond"),
    "native": ("native", "circle"),
    "simd": ("simd", "triangle"),
    "openblas": ("openBLAS", "square"),
    "c_streaming": ("C loop, streaming", "cross"),
    "c_plain": ("C loop, plain", "plus"),
    "ceiling": ("copy of the output", "none"),
}


@dataclasses.dataclass
class Series:
    kind: str
    points: list
    line: bool = True

    @property
    def title(self):
        return KINDS[self.kind][0]

    @property
    def mark(self):
        return KINDS[self.kind][1]

    @property
    def path(self):
        return " ".join(f"{'ML'[i > 0]}{x} {y}" for i, (x, y, _) in enumerate(self.points))


@dataclasses.dataclass
class Chart:
    """Curves or points over two axes."""

    title: str
    unit: str
    x_title: str
    x_ticks: list
    y_ticks: list
    series: list
    markers: list = dataclasses.field(default_factory=list)
    note: str = ""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclasses.dataclass
class Rows:
    """Labelled rows, each with bars, marks or an interval of its own."""

    title: str
    unit: str
    rows: list
    x_ticks: list
    lines: list
    note: str = ""
    legend: list = dataclasses.field(default_factory=list)
    width: int = WIDTH

    @property
    def height(self):
        return TOP + ROW * len(self.rows) + 26

    @property
    def bottom(self):
        return TOP + ROW * len(self.rows)


def curves(title, unit, x_title, data, *, x_text=shown_number, x_ticks=None, y_text=shown_number,
           y_linear=False, x_linear=False, scatter=(), markers=(), note=""):
    """A chart of `data`, kind -> [(x, y, what to say of the point)]; nil where there is nothing."""
    data = {kind: sorted(data[kind]) for kind in KINDS if data.get(kind)}
    xs = [x for points in data.values() for x, _, _ in points]
    ys = [y for points in data.values() for _, y, _ in points]
    if len(set(xs)) < 2:
        return None
    span = LEFT, WIDTH - RIGHT
    # Room for the last label, which is centred on its tick.
    x_axis = linear(min(xs), max(xs), LEFT + 10, span[1] - 10) if x_linear else logarithmic(xs, *span)
    rise = HEIGHT - BOTTOM, TOP
    y_axis = linear(0, max(ys) * 1.08, *rise) if y_linear else logarithmic(ys, *rise)
    if x_ticks is None:
        ticks = sorted(set(xs))
    else:
        ticks = x_ticks(x_axis)
    series = [
        Series(kind, [(x_axis(x), y_axis(y), say) for x, y, say in points], kind not in scatter)
        for kind, points in data.items()
    ]
    return Chart(
        title, unit, x_title,
        inside(labelled(x_axis, ticks, x_text)),
        labelled(y_axis, round_ticks(y_axis), y_text, upright=True),
        series, [(x_axis(x), say) for x, say in markers if x_axis.low <= x <= x_axis.high], note)


def inside(ticks):
    """Moves labels that would leave the drawing if they stayed centred on their ticks."""
    moved = []
    for place, label in ticks:
        half = width(label) / 2
        moved.append((place, label, max(half - place + 2, 0) + min(WIDTH - 2 - half - place, 0)))
    return moved


def bars(title, unit, rows, ceilings, note=""):
    """Bars of rates: rows of (label, kind, value, ceiling, text), each with its ceiling as a line."""
    if not rows:
        return None
    top = max([value for _, _, value, _, _ in rows] + [ceiling for *_, ceiling, _ in rows if ceiling])
    axis = linear(0, top * 1.04, 8, WIDTH - 12)
    drawn = []
    for index, (label, kind, value, ceiling, text) in enumerate(rows):
        y = TOP + ROW * index
        drawn.append({
            "label": label, "text": text, "y": y, "kind": kind, "x": axis(0),
            "width": round(axis(value) - axis(0), 2), "ceiling": axis(ceiling) if ceiling else None,
        })
    return Rows(
        title, unit, drawn, inside(labelled(axis, round_ticks(axis), shown_number)), ceilings, note)


def strips(title, results, note=""):
    """The repetitions of each result as dots, in per cent of its median, with quartiles as a bar."""
    results = [result for result in results if len(result.seconds) >= 3]
    if not results:
        return None
    far = max(
        abs(seconds / result.median - 1) for result in results for seconds in result.seconds)
    far = min(max(far, 0.02), 0.5)
    axis = Axis(-far * 108, far * 108, 14, WIDTH - 14, logarithmic=False)
    drawn = []
    for index, result in enumerate(results):
        low, high = (100 * (value / result.median - 1) for value in result.quartiles)
        shares = [100 * (seconds / result.median - 1) for seconds in result.seconds]
        beyond = sum(abs(share) > far * 100 for share in shares)
        text = f"{shown_time(result.median)}, n = {len(shares)}"
        if beyond:
            text += f", {beyond} beyond"
        low, high = (max(-far * 100, min(far * 100, value)) for value in (low, high))
        drawn.append({
            "label": KINDS.get(result.kind, (result.kind,))[0], "text": text,
            "kind": result.kind if result.kind in KINDS else "other",
            "y": TOP + ROW * index, "low": axis(low), "box": round(axis(high) - axis(low), 2),
            "middle": axis(0),
            "dots": [axis(max(-far * 100, min(far * 100, share))) for share in shares],
        })
    ticks = inside(labelled(axis, round_ticks(axis), lambda value: f"{value:+.3g}%" if value else "0"))
    return Rows(title, "distance from the median, in per cent", drawn, ticks, [], note)


def intervals(comparison):
    """For each row of a comparison its interval in a small drawing, on one axis for all."""
    rows = comparison["rows"]
    if not rows:
        return []
    values = [value for row in rows for value in (row.low, row.high, row.ratio) if value > 0]
    far = min(4.0, max([1.02] + values + [1 / value for value in values]))
    axis = Axis(1 / (far * 1.03), far * 1.03, 2, 118)

    def limit(value):
        return axis(max(1 / far, min(far, value)))

    drawn = []
    for row in rows:
        floor = comparison["floor"] if row.floor is None else row.floor
        drawn.append({
            "low": limit(row.low), "high": limit(row.high), "middle": limit(row.ratio), "one": axis(1),
            "band": (limit(1 - floor), limit(1 + floor)) if floor else None,
        })
    return drawn


__all__ = [
    "KINDS", "Chart", "Rows", "Series", "binary_ticks", "bars", "curves", "intervals", "shown_bytes",
    "shown_number", "shown_time", "strips",
]
