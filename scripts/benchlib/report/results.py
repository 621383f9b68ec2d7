"""Reads what Google Benchmark and bench compare write, and arranges it for the page.

A result is one benchmark with the times of all its repetitions. Names are taken apart as far as
they follow `family/kind/type/work/threads:N`; others are shown in the table of all results only.
"""

import dataclasses
import math
import re
import statistics

from benchlib import reports
from benchlib.environment import Failure as Fault

CLOCK = re.compile(r"/(?:real|manual|process)_time$")
NAME = re.compile(
    r"^(?P<family>[^/]+)/(?:(?P<rule>[^/]+)/)?(?P<kind>[^/]+)/(?P<type>f32|bf16|f16)"
    r"/(?P<work>.+?)/threads:(?P<threads>[1-9]\d{0,5})$"
)
SHAPE = re.compile(r"^V([1-9]\d{0,11})_B([1-9]\d{0,11})_T([1-9]\d{0,11})_D([1-9]\d{0,11})$")
VERDICTS = ("slower", "faster", "same", "inconclusive")


@dataclasses.dataclass(frozen=True)
class Shape:
    vocabulary: int
    batch: int
    context: int
    dim: int

    @property
    def tokens(self):
        return self.batch * self.context

    @property
    def output_bytes(self):
        return self.tokens * self.dim * 4

    def __str__(self):
        return f"{self.vocabulary} x {self.batch} x {self.context} x {self.dim}"


@dataclasses.dataclass(frozen=True)
class Result:
    """One benchmark. `seconds` holds a time for each repetition, in the order they ran."""

    name: str
    seconds: tuple
    bytes_per_second: float | None
    family: str | None = None
    rule: str | None = None
    kind: str | None = None
    type: str | None = None
    work: str | None = None
    threads: int | None = None

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def quartiles(self):
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        low, _, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    @property
    def shape(self):
        match = SHAPE.match(self.work or "")
        return Shape(*map(int, match.groups())) if match else None


@dataclasses.dataclass(frozen=True)
class Report:
    context: dict
    results: list
    failures: list

    def select(self, **fields):
        """The results with these fields, where a field may be a collection to choose from."""

        def fits(result):
            for field, wanted in fields.items():
                value = getattr(result, field)
                if value not in wanted if isinstance(wanted, tuple) else value != wanted:
                    return False
            return True

        return [result for result in self.results if fits(result)]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A row of the base-against-head table."""

    name: str
    base: float
    head: float
    ratio: float
    low: float
    high: float
    verdict: str
    floor: float | None = None
    # The smallest slowdown that would have been seen, as a part of the base.
    detectable: float | None = None
    # Function -> (instructions of base, of head), of those that changed the most.
    functions: dict = dataclasses.field(default_factory=dict)


def read_report(paths):
    """The results of one or more files; benchmarks that are in several are taken together.

    What was not measured in one of them is a failure, and shown as such.
    """
    context, found, failures = {}, {}, {}
    for path in paths:
        report = reports.read(reports.load(path), path, rename=lambda name: CLOCK.sub("", name))
        context = context or report.context
        failures.update(report.left_out)
        for name, repetitions in report.measured.items():
            found.setdefault(name, []).extend(repetitions)
    found = {name: repetitions for name, repetitions in found.items() if name not in failures}
    if not found:
        reasons = [f"{name}: {reason}" for name, reason in sorted(failures.items())]
        raise Fault("; ".join([f"{', '.join(map(str, paths))}: nothing was measured", *reasons]))
    results = []
    for name, repetitions in found.items():
        match = NAME.match(name)
        fields = match.groupdict() if match else {}
        if fields:
            fields["threads"] = int(fields["threads"])
        seconds = tuple(repetition.wall / 1e9 for repetition in repetitions)
        rates = [repetition.bytes_per_second for repetition in repetitions]
        rate = statistics.median(rates) if all(rates) else None
        results.append(Result(name, seconds, rate, **fields))
    results.sort(key=lambda result: natural(result.name))
    return Report(context, results, sorted(failures.items()))


def read_comparison(path):
    """Base, head, floor and rows of what bench compare wrote."""
    data = reports.load(path)
    if not isinstance(data, dict) or not isinstance(data.get("benchmarks"), list):
        raise Fault(f"{path} is no report of bench compare: it has no list 'benchmarks'")
    rows = []
    for index, entry in enumerate(data["benchmarks"]):
        place = f"{path}: benchmarks[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise Fault(f"{place} has no name")
        if entry.get("verdict") not in VERDICTS:
            raise Fault(f"{place}.verdict is {entry.get('verdict')!r}: expected {', '.join(VERDICTS)}")
        fields = ("base_median_ns", "head_median_ns", "ratio", "low", "high")
        values = [reports.number(entry.get(field), f"{place}.{field}", 0) for field in fields]
        parts = [
            reports.number(entry[field], f"{place}.{field}", 0) if field in entry else None
            for field in ("floor", "detectable")
        ]
        found = functions(entry.get("instructions"), f"{place}.instructions")
        rows.append(Comparison(CLOCK.sub("", entry["name"]), *values, entry["verdict"], *parts, found))
    order = {verdict: index for index, verdict in enumerate(VERDICTS)}
    rows.sort(key=lambda row: (order[row.verdict], -row.ratio, natural(row.name)))
    floor = data.get("floor")
    return {
        "base": str(data.get("base", "base")),
        "head": str(data.get("head", "head")),
        "floor": reports.number(floor, f"{path}: floor", 0) if floor is not None else None,
        "rows": rows,
    }


def functions(explained, place):
    """Function -> (base, head) of what bench compare has of a benchmark's instructions."""
    if explained is None:
        return {}
    rows = explained.get("functions") if isinstance(explained, dict) else None
    if not isinstance(rows, list):
        raise Fault(f"{place} has no list 'functions'")
    found = {}
    for index, row in enumerate(rows):
        where = f"{place}.functions[{index}]"
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise Fault(f"{where} has no name")
        found[row["name"]] = tuple(
            reports.number(row.get(side), f"{where}.{side}", 0) for side in ("base", "head"))
    return found


def natural(name):
    """A sort key that takes digits as numbers, so that B8 comes before B16."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", name)]


# Times closer than this are taken as equal: they tell nothing of which is faster.
EQUAL = 0.05


def crossovers(points, first, second):
    """Where the faster of two curves changes.

    `points` is a list of (x, {kind: seconds}) in rising order of x. Between the last point where one
    is clearly faster and the first where the other is, the ratio of times is taken as straight in the
    logarithms of x and of time.
    """
    found, before = [], None
    for x, times in points:
        if first not in times or second not in times:
            continue
        difference = math.log(times[first] / times[second])
        if abs(difference) < EQUAL:
            continue
        if before is not None and (before[1] < 0) != (difference < 0):
            share = before[1] / (before[1] - difference)
            at = math.exp(math.log(before[0]) + share * (math.log(x) - math.log(before[0])))
            found.append((at, second if difference > 0 else first))
        before = (x, difference)
    return found
