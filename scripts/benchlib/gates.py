"""Gates on ratios of benchmarks within one run: rules from a file, and whether a report keeps them.

A rule says that the time of one benchmark is at most so many times that of the fastest of others; or,
per byte moved, where the two move different amounts. `{work}` in its names stands for each of its
works. Absolute times never gate: they hold for one machine.
"""

import dataclasses
import re
import statistics

from benchlib import environment, reports


@dataclasses.dataclass(frozen=True)
class Gate:
    """One rule at one work."""

    rule: str
    measured: str
    against: tuple
    per_byte: bool
    at_most: float


def read(file):
    """The gates of a file, each rule at each work."""
    if not file.exists():
        raise environment.Failure(
            f"no file of gates {file}; name another by --file, or write one: the article on regression "
            "timing (RegressionTiming.md) shows its form")
    data = reports.load(file)
    rules = data.get("rules") if isinstance(data, dict) else None
    if not isinstance(rules, list) or not rules:
        raise environment.Failure(f"{file} is no file of gates: it has no list 'rules', or an empty one")
    return [
        gate for index, rule in enumerate(rules) for gate in at_works(rule, f"{file}: rules[{index}]")
    ]


FIELDS = ("name", "measured", "against", "works", "at_most", "per_byte")


def at_works(rule, place):
    """A rule at each of its works, checked: what is misspelt would be a gate that holds nothing."""
    if not isinstance(rule, dict):
        raise environment.Failure(f"{place} is {reports.shown(rule)}: expected an object")
    for field in rule:
        if field not in FIELDS:
            raise environment.Failure(f"{place}.{field} is not known: expected {', '.join(FIELDS)}")
    for field in ("name", "measured"):
        check(rule, field, place, "text", lambda value: isinstance(value, str) and value)
    for field in ("against", "works"):
        check(rule, field, place, "a list of texts, one or more", is_texts)
    per_byte = rule.get("per_byte", False)
    if not isinstance(per_byte, bool):
        raise environment.Failure(f"{place}.per_byte is {reports.shown(per_byte)}: expected true or false")
    for work in rule["works"]:
        limit, where = rule.get("at_most"), f"{place}.at_most"
        if isinstance(limit, dict):
            limit, where = limit.get(work), f"{where}[{work}]"
        limit = reports.number(limit, where, 0)
        if limit == 0:
            raise environment.Failure(f"{where} is 0: expected a ratio above 0")
        yield Gate(
            rule["name"],
            rule["measured"].replace("{work}", work),
            tuple(name.replace("{work}", work) for name in rule["against"]),
            per_byte,
            limit,
        )


def is_texts(value):
    return isinstance(value, list) and value and all(isinstance(part, str) and part for part in value)


def check(rule, field, place, expected, is_right):
    if not is_right(rule.get(field)):
        raise environment.Failure(
            f"{place}.{field} is {reports.shown(rule.get(field))}: expected {expected}")


def names(gates):
    return sorted({name for gate in gates for name in (gate.measured, *gate.against)})


def costs(report):
    """Name without its clock -> the median nanoseconds, and those for a byte; and what gave neither."""
    found = reports.read(
        report, "the report", "auto", lambda name: without_clock(re.sub(r"/iterations:\d+", "", name)))
    times = {name: statistics.median(values) for name, values in found.times.items()}
    per_byte = {
        name: statistics.median(
            repetition.nanoseconds / (repetition.bytes_per_second * repetition.wall / 1e9)
            for repetition in repetitions)
        for name, repetitions in found.measured.items()
        if all(repetition.bytes_per_second for repetition in repetitions)
    }
    return times, per_byte, found.left_out


def without_clock(name):
    return name.removesuffix("/real_time")


def ratio(gate, times, per_byte, left_out):
    """The measured cost over the least of the others."""
    values = per_byte if gate.per_byte else times
    for name in (gate.measured, *gate.against):
        if name not in values:
            reason = left_out.get(name, "no bytes a second" if name in times else "not in the report")
            raise environment.Failure(f"{gate.rule}: {name}: {reason}")
    return values[gate.measured] / min(values[name] for name in gate.against)
