"""Reads Google Benchmark's reports: the one reader of all scripts, so that none of them takes for a
time what was not measured.

A benchmark is measured where each of its repetitions has a finite time above zero by the clock that
is asked for. All others are left out, by name and with a reason: skipped or failed with its message,
without a time (zero, NaN, infinite), aggregates alone, or two benchmarks of one name. A file that is
no report, or an entry that lacks a field or has one of another kind, is a failure that names the place.
Reports are what Google Benchmark 1.5 and later write: `error_occurred` with `error_message`, from 1.8 on
also `skipped` with `skip_message`; NaN and Infinity stand in them as bare words.
"""

import dataclasses
import json
import math
import re
import sys

from benchlib import environment

NANOSECONDS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
CLOCKS = ("auto", "wall", "cpu")
# Times and rates of which sums, products and quotients stay finite.
LEAST, MOST = 1e-100, 1e100
TWICE = "two benchmarks have this name, or its repetitions stand there twice"


@dataclasses.dataclass(frozen=True)
class Repetition:
    """One measurement. `nanoseconds` are of the clock asked for, `wall` of the one on the wall."""

    nanoseconds: float
    wall: float
    bytes_per_second: float | None
    # The entry as it stands in the file.
    entry: dict


@dataclasses.dataclass(frozen=True)
class Report:
    context: dict
    # Name -> its repetitions, in the order of the file.
    measured: dict
    # Name -> why it is not among them.
    left_out: dict

    @property
    def times(self):
        """Name -> nanoseconds of each repetition."""
        return {name: [r.nanoseconds for r in found] for name, found in self.measured.items()}

    def tell(self):
        """Says on standard error what is left out; the report itself."""
        for name, reason in self.left_out.items():
            print(f"left out: {name}: {reason}", file=sys.stderr)
        return self

    def require(self, names, place):
        """Fails, by name, where one of these is not measured."""
        for name in names:
            if name not in self.measured:
                raise environment.Failure(f"{place}: {name}: {self.left_out.get(name, 'not there')}")


def load(path):
    """The JSON of a file, read as it was written or refused in one line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise environment.Failure(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise environment.Failure(f"{path} is not JSON: no UTF-8 at byte {error.start}") from None
    if not text.strip():
        raise environment.Failure(f"{path} is not JSON: it is empty")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise environment.Failure(f"{path} is not JSON: {error}") from None
    except RecursionError:
        raise environment.Failure(f"{path} is nested too deeply") from None
    except ValueError as error:
        # A number of more digits than Python converts.
        raise environment.Failure(f"{path} is not JSON that can be read: {error}") from None


def text(value, indent=1):
    """JSON as every reader takes it: NaN and infinities have no place in it."""
    try:
        return json.dumps(value, indent=indent, allow_nan=False) + "\n"
    except ValueError as error:
        raise environment.Failure(f"cannot be written as JSON: {error}") from None


def entries(data, place):
    """The entries of a report, each with its place."""
    if not isinstance(data, dict) or not isinstance(data.get("benchmarks"), list):
        raise environment.Failure(
            f"{place} is no report of Google Benchmark: it has no list 'benchmarks'")
    for index, entry in enumerate(data["benchmarks"]):
        where = f"{place}: benchmarks[{index}]"
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"]:
            raise environment.Failure(f"{where} has no name")
        if not isinstance(entry.get("run_name", ""), str):
            raise environment.Failure(f"{where}.run_name is {shown(entry['run_name'])}: expected text")
        kind = entry.get("run_type", "iteration")
        if kind not in ("iteration", "aggregate"):
            raise environment.Failure(
                f"{where}.run_type is {shown(kind)}: expected iteration or aggregate")
        yield f"{where} ({entry['name']})", entry


def is_aggregate(entry):
    # Before run_type there were the two that big_o makes.
    return entry.get("run_type") == "aggregate" or "cpu_coefficient" in entry or "rms" in entry


def run_name(entry):
    return entry.get("run_name") or entry["name"]


def refusal(entry):
    """What a benchmark said that did not run to its end, or nil."""
    for field, message, word in (
        ("error_occurred", "error_message", "failed"), ("skipped", "skip_message", "skipped")
    ):
        if entry.get(field):
            said = entry.get(message)
            return f"{word}: {said}" if isinstance(said, str) and said else word
    return None


def number(value, what, least=None):
    """A number of a file as a float, which may be NaN or infinite unless it has a least."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise environment.Failure(f"{what} is {shown(value)}: expected a number")
    try:
        value = float(value)
    except OverflowError:
        value = math.inf if value > 0 else -math.inf
    if least is not None and not (math.isfinite(value) and value >= least):
        raise environment.Failure(
            f"{what} is {value}: expected a finite number of {least:g} or more")
    return value


def shown(value):
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def clock(name, choice):
    """The field of the report to read. Left to us, work on one thread is measured by its processor
    time, to which a neighbour's turns on the same core add nothing; all else by wall time."""
    if name.endswith("/manual_time") or choice == "wall":
        return "real_time"
    if choice == "cpu" or re.search(r"(?:^|/)threads:1(?:/|$)", name):
        return "cpu_time"
    return "real_time"


def read(data, place, choice="wall", rename=lambda name: name):
    """A report's benchmarks under the names that `rename` makes of theirs.

    `data` is the JSON of a file, `place` what to call it in messages, `choice` a clock.
    """
    groups, aggregates, faults, index, origin = {}, {}, {}, {}, {}
    for where, entry in entries(data, place):
        # The aggregates of old versions are told by their names alone, and have no run_name.
        name = rename(run_name(entry))
        if is_aggregate(entry):
            aggregates.setdefault(name, None)
            continue
        origin.setdefault(name, run_name(entry))
        if origin[name] != run_name(entry) or is_repeated(entry, index.setdefault(name, {})):
            faults.setdefault(name, []).append(TWICE)
        fault, repetition = measurement(entry, where, choice)
        groups.setdefault(name, []).append(repetition)
        if fault:
            faults.setdefault(name, []).append(fault)
    left_out = {}
    for name, found in faults.items():
        count = len(groups[name])
        is_part = TWICE not in found and count > 1
        told = f" ({len(found)} of {count} repetitions)" if is_part else ""
        left_out[name] = (TWICE if TWICE in found else found[0]) + told
    for name in aggregates:
        if name not in groups:
            left_out[name] = "aggregates alone; leave out --benchmark_report_aggregates_only"
    measured = {name: found for name, found in groups.items() if name not in left_out}
    context = data.get("context")
    return Report(context if isinstance(context, dict) else {}, measured, left_out)


def is_repeated(entry, seen):
    """Whether another benchmark has the name: one of another place in the program, or the same
    repetition once more. `seen` is what was seen of the name."""
    place = entry.get("family_index"), entry.get("per_family_instance_index")
    repetition = entry.get("repetition_index")
    again = seen.setdefault("place", place) != place
    if repetition is not None:
        again = again or repetition in seen.setdefault("repetitions", [])
        seen.setdefault("repetitions", []).append(repetition)
    return again


def measurement(entry, where, choice):
    """Why an entry is no measurement, or nil, and the repetition that it is else."""
    said = refusal(entry)
    if said:
        return said, None
    unit = entry.get("time_unit")
    if not isinstance(unit, str) or unit not in NANOSECONDS:
        raise environment.Failure(
            f"{where}.time_unit is {shown(unit)}: expected {', '.join(NANOSECONDS)}")
    chosen = clock(run_name(entry), choice)
    times = {}
    for field in ("real_time", "cpu_time"):
        # Processor time may be missing where it is not asked for.
        if field not in entry and field != "real_time" and field != chosen:
            continue
        value = number(entry.get(field), f"{where}.{field}")
        if value < 0 and math.isfinite(value):
            raise environment.Failure(f"{where}.{field} is {entry[field]}: expected 0 or more")
        times[field] = value * NANOSECONDS[unit]
        # A processor that was not used has a time of zero, which is one.
        if value == 0 and field in ("real_time", chosen):
            return f"{field} is zero: nothing was measured", None
        if not (value == 0 or LEAST < times[field] < MOST):
            return f"{field} is {entry[field]} {unit}, which is no time", None
    rate = entry.get("bytes_per_second")
    if rate is not None:
        rate = number(rate, f"{where}.bytes_per_second")
        if rate < 0 and math.isfinite(rate):
            raise environment.Failure(f"{where}.bytes_per_second is {rate}: expected 0 or more")
        if not (rate == 0 or LEAST < rate < MOST):
            return f"bytes_per_second is {rate}, which is no rate", None
    return None, Repetition(times[chosen], times["real_time"], rate or None, entry)
