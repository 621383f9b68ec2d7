"""Reads what Google Benchmark and bench-compare write, and arranges it for the page.

A result is one benchmark with the times of all its repetitions. Names are taken apart as far as
they follow `family/kind/type/work/threads:N`; others are shown in the table of all results only.
"""

import dataclasses
import json
import math
import re
import statistics

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
CLOCK = re.compile(r"/(?:real|manual|process)_time$")
NAME = re.compile(
    r"^(?P<family>[^/]+)/(?:(?P<rule>[^/]+)/)?(?P<kind>[^/]+)/(?P<type>f32|bf16|f16)"
    r"/(?P<work>.+?)/threads:(?P<threads>\d+)$"
)
SHAPE = re.compile(r"^V(\d+)_B(\d+)_T(\d+)_D(\d+)$")
VERDICTS = ("slower", "faster", "same", "inconclusive")


class Fault(Exception):
    """A message for the user: which file, and what is wrong with it."""


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
    p: float
    verdict: str
    floor: float | None = None


def load(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Fault(f"cannot read {path}: {error}") from error
    except json.JSONDecodeError as error:
        raise Fault(f"{path} is not JSON: {error}") from error


def number(value, what, least=0.0):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Fault(f"{what} is {value!r}: expected a number")
    if not math.isfinite(value) or value < least:
        raise Fault(f"{what} is {value!r}: expected a finite number of {least:g} or more")
    return float(value)


def read_report(paths):
    """The results of one or more files; benchmarks that are in several are taken together."""
    context, times, rates, failures = {}, {}, {}, {}
    for path in paths:
        data = load(path)
        if not isinstance(data, dict) or not isinstance(data.get("benchmarks"), list):
            raise Fault(f"{path} is no report of Google Benchmark: it has no list 'benchmarks'")
        if isinstance(data.get("context"), dict):
            context = context or data["context"]
        for index, entry in enumerate(data["benchmarks"]):
            place = f"{path}: benchmarks[{index}]"
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise Fault(f"{place} has no name")
            if entry.get("run_type", "iteration") != "iteration":
                continue
            name = CLOCK.sub("", entry.get("run_name") or entry["name"])
            if entry.get("error_occurred"):
                failures[name] = str(entry.get("error_message", "failed"))
                continue
            unit = SECONDS.get(entry.get("time_unit"))
            if unit is None:
                raise Fault(f"{place}.time_unit is {entry.get('time_unit')!r}: expected ns, us, ms or s")
            seconds = number(entry.get("real_time"), f"{place}.real_time") * unit
            # A clock too coarse for a call reads zero, which a logarithm cannot show.
            times.setdefault(name, []).append(max(seconds, 1e-12))
            if "bytes_per_second" in entry:
                rate = number(entry["bytes_per_second"], f"{place}.bytes_per_second")
                rates.setdefault(name, []).append(rate)
    if not times:
        raise Fault(
            f"{', '.join(map(str, paths))}: no repetition of any benchmark; aggregates alone are not "
            "enough, so leave out --benchmark_report_aggregates_only"
        )
    results = []
    for name, seconds in times.items():
        match = NAME.match(name)
        fields = match.groupdict() if match else {}
        if fields:
            fields["threads"] = int(fields["threads"])
        rate = statistics.median(rates[name]) if rates.get(name) else None
        results.append(Result(name, tuple(seconds), rate or None, **fields))
    results.sort(key=lambda result: natural(result.name))
    return Report(context, results, sorted(failures.items()))


def read_comparison(path):
    """Base, head, floor and rows of what bench-compare wrote."""
    data = load(path)
    if not isinstance(data, dict) or not isinstance(data.get("benchmarks"), list):
        raise Fault(f"{path} is no report of bench-compare: it has no list 'benchmarks'")
    rows = []
    for index, entry in enumerate(data["benchmarks"]):
        place = f"{path}: benchmarks[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise Fault(f"{place} has no name")
        if entry.get("verdict") not in VERDICTS:
            raise Fault(f"{place}.verdict is {entry.get('verdict')!r}: expected {', '.join(VERDICTS)}")
        fields = ("base_median_ns", "head_median_ns", "ratio", "low", "high", "p")
        values = [number(entry.get(field), f"{place}.{field}") for field in fields]
        floor = number(entry["floor"], f"{place}.floor") if "floor" in entry else None
        rows.append(Comparison(CLOCK.sub("", entry["name"]), *values, entry["verdict"], floor))
    order = {verdict: index for index, verdict in enumerate(VERDICTS)}
    rows.sort(key=lambda row: (order[row.verdict], -row.ratio, natural(row.name)))
    floor = data.get("floor")
    return {
        "base": str(data.get("base", "base")),
        "head": str(data.get("head", "head")),
        "floor": number(floor, f"{path}: floor") if floor is not None else None,
        "rows": rows,
    }


def natural(name):
    """A sort key that takes digits as numbers, so that B8 comes before B16."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name)]


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
