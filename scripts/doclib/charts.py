"""Charts of README's tables, as SVG that is light or dark with the page, each put below its table.

A chart is drawn of the table whose heading it names, so that a table that changes changes its chart, and one
that is gone is an error. On a phone a chart is 350 points wide, so its letters are large.
"""

import html
import math
import re

from benchlib import environment

WIDTH, ROW = 640, 34
# Okabe and Ito's colours, which colour-blind readers tell apart.
COLOURS = ["#0072B2", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7"]
STYLE = """<style>
text { font: 20px system-ui, sans-serif; fill: #1b1b1f } .axis { stroke: #b9b9c0 } .quiet { fill: #55555c }
@media (prefers-color-scheme: dark) {
text { fill: #ececf0 } .axis { stroke: #55555c } .quiet { fill: #a9a9b2 }
}
</style>"""
# For an article: how the first row of a table begins, and what is drawn of it.
DRAWN = {
    "Speed": [
        ("| vocabulary, batch, context, dim | threads | EmbedKernel | NumPy", "bars",
         "(50257, 4, 2048, 1024), 2 threads: times EmbedKernel's", ("50257, 4, 2048, 1024", "2")),
    ],
    "PositionsMeasured": [
        ("| positions | at 64", "lines", "Validation loss in nats a byte, by length", None),
    ],
}


def rows_of(table):
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]


def beside_tables(text, article, folder):
    """The text with the charts of an article below their tables, drawn into the folder."""
    for number, (head, kind, title, row) in enumerate(DRAWN.get(article, [])):
        match = re.search(rf"(?m)^{re.escape(head)}[^\n]*\n(?:\|[^\n]*\n?)+", text)
        if not match:
            raise environment.Failure(f"README.md has no table that begins '{head}', for the chart '{title}'")
        heads, _, *rows = rows_of(match[0])
        drawing = bars(title, heads, rows, row) if kind == "bars" else lines(title, heads, rows)
        name = f"chart-{article.lower()}-{number}.svg"
        (folder / name).write_text(drawing)
        text = f"{text[:match.end()].rstrip()}\n\n![{title}]({name})\n{text[match.end():]}"
    return text


def number(text):
    """The number that a cell begins with; nil where it has none, as in `(7.45)`."""
    match = re.match(r"-?\d+(?:\.\d+)?", text)
    return float(match[0]) if match else None


def drawn(title, height, body):
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}">\n<title>{html.escape(title)}</title>\n{STYLE}\n'
        f'<text x="8" y="26">{html.escape(title)}</text>\n' + "\n".join(body) + "\n</svg>\n")


def label(x, y, text, anchor="start", kind=""):
    marks = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{marks}>{html.escape(text)}</text>'


def bars(title, heads, rows, key):
    """A bar a library, of the row whose first cells are the key's."""
    found = [row for row in rows if tuple(row[:len(key)]) == key]
    if len(found) != 1:
        raise environment.Failure(f"README.md has {len(found)} rows {key} for the chart '{title}'")
    values = [("EmbedKernel", 1.0)]
    for head, cell in list(zip(heads, found[0]))[len(key) + 1:]:
        value = number(cell) or number(cell.strip("()"))
        if value is None:
            raise environment.Failure(f"README.md: '{cell}' of {head} is no number, for the chart '{title}'")
        values.append((head, value))
    left, right = 220, WIDTH - 70
    scale = (right - left) / max(value for _, value in values)
    body = []
    for index, (name, value) in enumerate(values):
        y = 48 + index * ROW
        body.append(label(left - 12, y + 22, name, "end"))
        body.append(
            f'<rect x="{left}" y="{y + 4}" width="{value * scale:.1f}" height="{ROW - 10}" '
            f'fill="{COLOURS[0] if index == 0 else COLOURS[2]}"/>')
        body.append(label(left + value * scale + 8, y + 22, f"{value:g}", kind="quiet"))
    return drawn(title, 60 + len(values) * ROW, body)


def lines(title, heads, rows):
    """A line a row over the numbers of the heads, on a scale of doublings."""
    places = [math.log2(number(re.sub(r"^\D+", "", head))) for head in heads[1:]]
    values = [[number(cell) for cell in row[1:]] for row in rows]
    every = [value for row in values for value in row]
    if None in every or len(values) > len(COLOURS):
        raise environment.Failure(f"README.md's table for the chart '{title}' is of another kind")
    low, high = math.floor(min(every) * 2) / 2, math.ceil(max(every) * 2) / 2
    left, right, top, bottom = 60, WIDTH - 130, 56, 380

    def place(at, value):
        x = left + (at - places[0]) / (places[-1] - places[0]) * (right - left)
        return x, bottom - (value - low) / (high - low) * (bottom - top)

    body = []
    step = 0.5
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        _, y = place(places[0], value)
        body.append(f'<path class="axis" d="M{left} {y:.1f}H{right}"/>')
        body.append(label(left - 10, y + 7, f"{value:.1f}", "end", "quiet"))
    for at in places:
        x, _ = place(at, low)
        body.append(label(x, bottom + 28, f"{2 ** at:.0f}", "middle", "quiet"))
    # Names beside the ends of their lines, apart from each other.
    ends = sorted((place(places[-1], row[-1])[1], index) for index, row in enumerate(values))
    below = -math.inf
    for y, index in ends:
        below = max(y + 7, below + 22)
        colour = COLOURS[index]
        points = " ".join("{:.1f},{:.1f}".format(*place(at, value)) for at, value in zip(places, values[index]))
        body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="3"/>')
        body.append(f'<circle cx="{right}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        body.append(label(right + 12, below, rows[index][0]))
    return drawn(title, bottom + 44, body)
