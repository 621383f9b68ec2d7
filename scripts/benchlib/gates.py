"""Gates on ratios of benchmarks within one run: rules from a file, and whether a report keeps them.

A rule says that the time of one benchmark is at most so many times that of the fastest of others; or,
per byte moved, where the two move different amounts. `{work}` in its names stands for each of its
works. Absolute times never gate: they hold for one machine.
"""

import dataclasses
import json
import statistics

from benchlib import environment, processes


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
    try:
        rules = json.loads(file.read_text())["rules"]
        return [
            Gate(
                rule["name"],
                rule["measured"].replace("{work}", work),
                tuple(name.replace("{work}", work) for name in rule["against"]),
                rule.get("per_byte", False),
                float(rule["at_most"][work] if isinstance(rule["at_most"], dict) else rule["at_most"]),
            )
            for rule in rules
            for work in rule["works"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise environment.Failure(f"{file} is no file of gates: {error!r}") from None


def names(gates):
    return sorted({name for gate in gates for name in (gate.measured, *gate.against)})


def costs(report):
    """Name without its clock -> the median nanoseconds, and those for a byte."""
    times, per_byte = {}, {}
    for entry in report["benchmarks"]:
        if entry.get("error_occurred"):
            raise environment.Failure(f"{entry['name']}: {entry.get('error_message')}")
        if entry.get("run_type", "iteration") != "iteration":
            continue
        name = entry["run_name"].removesuffix("/real_time")
        unit = processes.NANOSECONDS[entry["time_unit"]]
        time = entry[processes.clock(name, "auto")] * unit
        times.setdefault(name, []).append(time)
        if rate := entry.get("bytes_per_second"):
            moved = rate * entry["real_time"] * unit / 1e9
            per_byte.setdefault(name, []).append(time / moved)
    median = lambda groups: {name: statistics.median(values) for name, values in groups.items()}
    return median(times), median(per_byte)


def ratio(gate, times, per_byte):
    """The measured cost over the least of the others."""
    values = per_byte if gate.per_byte else times
    absent = [name for name in (gate.measured, *gate.against) if name not in values]
    if absent:
        raise environment.Failure(f"the report has no {', '.join(absent)}")
    return values[gate.measured] / min(values[name] for name in gate.against)
