"""The page's sections: which results are drawn against what."""

import collections
import dataclasses
import math

import charts
from axes import binary_ticks, round_ticks, shown_bytes, shown_number, shown_time
from results import Shape, crossovers

BACKENDS = ("default", "auto", "native", "simd", "openblas")
LOOPS = ("c_streaming", "c_plain")
COPIES = ("streaming_copy", "memcpy")
PAIRS = (("simd", "openblas"), ("native", "openblas"), ("native", "simd"))
GPT2 = Shape(50_257, 8, 1_024, 768)
SEED = Shape(50_257, 8, 4, 256)

# One size varies, the others are as given.
SWEEPS = (
    ("dim", "floats of a row", Shape(50_257, 8, 1_024, 0), round_ticks),
    ("batch", "sequences", Shape(50_257, 0, 1_024, 768), binary_ticks),
    ("context", "tokens of a sequence", Shape(50_257, 8, 0, 256), binary_ticks),
    ("vocabulary", "rows of the table", Shape(0, 8, 1_024, 768), round_ticks),
)


@dataclasses.dataclass
class Section:
    id: str
    title: str
    text: str
    charts: list
    table: dict | None = None
    legend: list = dataclasses.field(default_factory=list)

    @property
    def curves(self):
        return [chart for chart in self.charts if isinstance(chart, charts.Chart)]

    @property
    def rows(self):
        return [chart for chart in self.charts if isinstance(chart, charts.Rows)]


class Data:
    """A report's forward results by shape and threads, and the copies that bound them."""

    def __init__(self, report):
        self.report = report
        self.times = collections.defaultdict(dict)
        self.rates = collections.defaultdict(dict)
        for result in report.results:
            if result.type != "f32" or result.rule or result.shape is None:
                continue
            key = result.shape, result.threads
            if result.family == "forward":
                self.times[key][result.kind] = result
            if result.family == "ceiling" and result.kind in COPIES and result.bytes_per_second:
                self.rates[key][result.kind] = result.bytes_per_second
        self.threads = sorted({threads for _, threads in self.times})

    def ceiling(self, shape, threads):
        """The faster of the copies of this shape's output."""
        return max(self.rates.get((shape, threads), {}).values(), default=None)

    def shapes(self, threads):
        return sorted(
            (shape for shape, count in self.times if count == threads),
            key=lambda shape: (shape.output_bytes, shape.dim, shape.vocabulary))

    def sweep(self, axis, fixed, threads):
        """[(x, shape, kind -> result)] of the shapes that differ from `fixed` in `axis` alone."""
        found = []
        for shape in self.shapes(threads):
            if dataclasses.replace(shape, **{axis: getattr(fixed, axis)}) == fixed:
                found.append((getattr(shape, axis), shape, self.times[shape, threads]))
        return sorted(found, key=lambda item: item[0])


def plural(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"


def say(result, extra=""):
    rate = f", {result.bytes_per_second / 1e9:.3g} GB/s" if result.bytes_per_second else ""
    return f"{result.name}: {shown_time(result.median)}{rate}{extra}"


def legend(drawn):
    """The kinds that charts show, in order, as (kind, title, mark)."""
    seen = {}
    for chart in drawn:
        for series in getattr(chart, "series", []):
            seen[series.kind] = seen.get(series.kind, False) or series.line
    return [(kind, *charts.KINDS[kind], seen[kind]) for kind in charts.KINDS if kind in seen]


def section(id, title, text, drawn, table=None):
    drawn = [chart for chart in drawn if chart is not None]
    if not drawn and not (table and table["rows"]):
        return None
    return Section(id, title, text, drawn, table, legend(drawn))


def roofline(data):
    """Rates over output sizes against the copies' rate, and every family at GPT-2's shape."""
    drawn = []
    for threads in data.threads:
        points, copies = collections.defaultdict(list), collections.defaultdict(list)
        for shape in data.shapes(threads):
            ceiling = data.ceiling(shape, threads)
            if ceiling:
                copies[shape.output_bytes].append(ceiling)
            for kind in (*BACKENDS[1:], "c_streaming"):
                result = data.times[shape, threads].get(kind)
                if result and result.bytes_per_second:
                    share = f", {result.bytes_per_second / ceiling:.0%} of the copy" if ceiling else ""
                    points[kind].append(
                        (shape.output_bytes, result.bytes_per_second / 1e9, say(result, share)))
        points["ceiling"] = [
            (size, max(rates) / 1e9, f"copy of {shown_bytes(size)}: {max(rates) / 1e9:.3g} GB/s")
            for size, rates in copies.items()
        ]
        drawn.append(charts.curves(
            f"Bytes a second, {plural(threads, 'thread')}", "GB/s, read and written",
            "bytes of the output", points, x_text=shown_bytes, x_ticks=binary_ticks,
            scatter=(*BACKENDS, "c_streaming")))
    for threads in data.threads:
        drawn.append(families(data, threads))
    return section(
        "roofline", "Against the ceiling",
        "No kernel that writes the output can be much faster than a copy of it: the line is the faster "
        "of memcpy and a copy past the cache, of as many bytes and threads, in the same run. Points "
        "above it had rows in cache.", drawn)


def families(data, threads):
    """Bars of what runs at GPT-2's shape, one for each family, kind and work."""
    ceiling = data.ceiling(GPT2, threads)
    rows = []
    for result in data.report.select(threads=threads, type="f32"):
        at_shape = result.work.split("/")[0] == "V50257_B8_T1024_D768"
        if result.family == "ceiling" or not at_shape or not result.bytes_per_second:
            continue
        if result.kind.split("_")[0] not in ("auto", "c"):
            continue
        rest = result.work.split("/")[1:]
        label = " ".join(part for part in (result.family, result.rule, result.kind, *rest) if part)
        kind = "c_plain" if result.kind.startswith("c_") else "auto"
        rate = result.bytes_per_second / 1e9
        share = f", {result.bytes_per_second / ceiling:.0%}" if ceiling else ""
        rows.append((label.replace("_", " "), kind, rate, ceiling / 1e9 if ceiling else None,
                     f"{rate:.3g}{share}"))
    rows.sort(key=lambda row: -row[2])
    return charts.bars(
        f"GPT-2's shape, {plural(threads, 'thread')}", "GB/s, and share of the streaming copy", rows,
        bool(ceiling), "The upright line is the copy." if ceiling else "")


def backends(data):
    """Each backend's time over the native one's, with the sizes where the faster one changes."""
    drawn, rows = [], []
    for threads in data.threads:
        for axis, _, fixed, ticks in SWEEPS:
            points = data.sweep(axis, fixed, threads)
            table = [(x, {kind: times[kind].median for kind in times}) for x, _, times in points]
            marks = []
            for first, second in PAIRS:
                for at, winner in crossovers(table, first, second):
                    names = [charts.KINDS[kind][0] for kind in (first, second)]
                    marks.append((at, f"{names[0]} and {names[1]} cross at {shown_number(at)}"))
                    rows.append([
                        plural(threads, "thread"), axis, f"{names[0]}, {names[1]}", shown_number(at),
                        charts.KINDS[winner][0]])
            data_points = collections.defaultdict(list)
            for x, _, times in points:
                if "native" not in times:
                    continue
                for kind in ("openblas", "simd", "native", "c_streaming"):
                    if kind in times:
                        ratio = times[kind].median / times["native"].median
                        data_points[kind].append((x, ratio, say(times[kind], f", {ratio:.2f} of native")))
            drawn.append(charts.curves(
                f"By {axis}, {plural(threads, 'thread')}", "time over native's", axis, data_points,
                x_ticks=ticks, markers=marks))
    table = {
        "head": ["threads", "sweep", "between", "at", "faster above"], "rows": rows,
        "empty": "No two backends cross within what was measured.",
    }
    return section(
        "backends", "Backends by shape",
        "Times over those of the native backend: below 1 is faster. A dashed line marks where two of "
        "the backends cross; times that differ by less than 5% are taken as equal.", drawn, table)


def scaling(data):
    """Time a token along each sweep."""
    drawn = []
    for axis, meaning, fixed, ticks in SWEEPS:
        for threads in data.threads:
            points = collections.defaultdict(list)
            for x, shape, times in data.sweep(axis, fixed, threads):
                for kind in (*BACKENDS, *LOOPS):
                    if kind in times:
                        cost = times[kind].median / shape.tokens * 1e9
                        points[kind].append((x, cost, say(times[kind])))
            drawn.append(charts.curves(
                f"{axis.capitalize()}, {plural(threads, 'thread')}", "nanoseconds a token",
                f"{axis}: {meaning}", points, x_ticks=ticks))
    return section(
        "sizes", "Scaling by dim, batch, context and vocabulary",
        "One size varies at a time around GPT-2's shape, context around the smallest one.", drawn)


def threads(data):
    """Speed over that of one thread."""
    drawn = []
    shapes = [shape for shape in data.shapes(data.threads[0])] if len(data.threads) > 1 else []
    wanted = (SEED, Shape(50_257, 1, 1_024, 768), GPT2, Shape(50_257, 4, 2_048, 1_024),
              Shape(128_256, 1, 4_096, 2_048))
    for shape in wanted:
        if shape not in shapes:
            continue
        points = collections.defaultdict(list)
        for count in data.threads:
            for kind in ("openblas", "simd", "native", "auto", "c_streaming"):
                one = data.times.get((shape, data.threads[0]), {}).get(kind)
                many = data.times.get((shape, count), {}).get(kind)
                if one and many:
                    speed = one.median / many.median
                    points[kind].append((count, speed, say(many, f", {speed:.2f} times as fast")))
        drawn.append(charts.curves(
            str(shape), f"speed over that on {plural(data.threads[0], 'thread')}", "threads", points,
            x_ticks=lambda axis: data.threads, x_linear=True, y_linear=True))
    return section(
        "threads", "Scaling by threads",
        "Vocabulary, batch, context and dim are as each title says. A small call loses by waking "
        "threads, so the library keeps it on one unless told otherwise, as here.", drawn)


def samples(data):
    """Repetitions of the forward pass."""
    drawn = []
    for shape in (SEED, GPT2):
        for count in data.threads:
            times = data.times.get((shape, count), {})
            chosen = [times[kind] for kind in (*BACKENDS, *LOOPS) if kind in times]
            drawn.append(charts.strips(f"{shape}, {plural(count, 'thread')}", chosen))
    return section(
        "samples", "Distribution of samples",
        "A dot is a repetition, the box holds the middle half of them, and its line is the median.",
        drawn)


def shown_change(ratio):
    return f"{(ratio - 1) * 100:+.1f}%" if ratio < 10 else f"x {ratio:.3g}"


def comparison_rows(comparison):
    drawn = charts.intervals(comparison)
    return [
        {"row": row, "drawn": picture, "base": shown_time(row.base * 1e-9),
         "head": shown_time(row.head * 1e-9),
         "change": shown_change(row.ratio),
         "interval": f"{shown_change(row.low)} to {shown_change(row.high)}",
         "functions": [
             (name, f"{head - base:+,.0f}" + (f" ({shown_change(head / base)})" if base else ""))
             for name, (base, head) in row.functions.items()
         ],
         "seen": None if row.detectable is None else shown_change(1 + row.detectable)}
        for row, picture in zip(comparison["rows"], drawn)
    ]


def facts(context):
    """What the report says of the machine, as (name, value)."""
    found = []
    caches = context.get("caches")
    for key, value in context.items():
        if isinstance(value, (str, int, float)) and key not in ("executable", "json_schema_version"):
            found.append((key.replace("_", " "), str(value)))
    if isinstance(caches, list):
        sizes = []
        for cache in caches:
            if isinstance(cache, dict) and cache.get("type") != "Instruction":
                size = cache.get("size")
                if isinstance(size, (int, float)) and size > 0 and math.isfinite(size):
                    sizes.append(f"L{cache.get('level', '?')} {shown_bytes(size)}")
        if sizes:
            found.append(("caches", ", ".join(sizes)))
    return found


def all_results(report):
    rows = []
    for result in report.results:
        low, high = result.quartiles
        rows.append({
            "name": result.name, "median": shown_time(result.median),
            "quartiles": f"{shown_time(low)} - {shown_time(high)}",
            "rate": f"{result.bytes_per_second / 1e9:.3g}" if result.bytes_per_second else "",
            "count": len(result.seconds),
        })
    return rows


def sections(report):
    data = Data(report)
    if not data.threads:
        return []
    made = [roofline(data), backends(data), scaling(data), threads(data), samples(data)]
    return [part for part in made if part is not None]
