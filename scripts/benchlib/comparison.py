"""One comparison of two benchmark programs: batches of processes in random order, then verdicts.

A block of the first batch is three short processes of one benchmark, in random order, pinned alike:
base, base again and head. They work in turns, a repetition each, so that a neighbour's load, which
mostly lasts longer, falls on all and cancels in a pair's ratio. Base against base again gives the
floor, from the same minutes as the comparison. Where the first batch finds a difference, a second one
of base and head follows, for those benchmarks alone.
"""

import dataclasses
import math
import random
import statistics
import sys

from benchlib import environment, processes, verdicts

BASE, AGAIN, HEAD = "base", "base again", "head"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is run: programs by role, names, pairs a batch, and how."""

    base: str
    head: str
    # Name -> iterations of a repetition, the same in all processes.
    iterations: dict
    pairs: int
    timing: processes.Timing
    # None for as many as the benchmark has threads.
    cpus: tuple | None
    least: float
    seed: int
    head_variables: dict
    clock: str
    # Whether both programs can run in turns; else processes follow each other.
    takes_turns: bool
    progress: bool = True

    @property
    def names(self):
        return tuple(self.iterations)

    def program(self, role):
        return self.head if role == HEAD else self.base

    def variables(self, role, name):
        fixed = {processes.ITERATIONS: str(self.iterations[name])}
        return {**self.head_variables, **fixed} if role == HEAD else fixed


def prepare(base, head, pattern, options):
    """A plan for two programs, and the context block of the head's report.

    Runs each program once without a record: that loads it from the disk, and tells how long an
    iteration takes. `options` are the fields of a plan that are the caller's choice.
    """
    cpus = options["cpus"]
    ours, theirs = (processes.listed(binary, pattern, cpus) for binary in (base, head))
    for name in sorted(set(ours) ^ set(theirs)):
        print(f"only in one of both, left out: {name}", file=sys.stderr)
    names = [name for name in ours if name in set(theirs)]
    if not names:
        raise environment.Failure(f"no benchmark of both matches '{pattern}'")
    look = processes.Timing(3, options["timing"].seconds)
    exact = processes.exactly(names)
    first, again = (processes.report(binary, exact, look, cpus) for binary in (base, head))
    # What ran to its end in neither is left out; what one of both cannot do is told as a failure.
    before, after = (processes.measured(report, options["clock"]) for report in (first, again))
    for name in names:
        reason = before.left_out.get(name)
        if reason is not None and name in after.left_out:
            print(f"left out: {name}: {reason}", file=sys.stderr)
    names = [name for name in names if name not in before.left_out or name not in after.left_out]
    if not names:
        raise environment.Failure(f"no benchmark of '{pattern}' is measured by both")
    before.require(names, "the base")
    after.require(names, "the head")
    times = {name: statistics.median(before.times[name]) for name in names}
    plan = Plan(
        base=base,
        head=head,
        iterations=processes.iterations(times, options["timing"]),
        takes_turns=all(map(processes.takes_turns, (base, head))),
        **options,
    )
    return plan, after.context


def batch(plan, names, roles, generator, label):
    """Runs `plan.pairs` blocks; role -> name -> a median of each block."""
    samples = {role: {name: [] for name in names} for role in roles}
    for block in range(plan.pairs):
        if plan.progress:
            print(f"\r{label} {block + 1}/{plan.pairs}", end="", file=sys.stderr, flush=True)
        for name in generator.sample(names, len(names)):
            order = generator.sample(roles, len(roles))
            for role, value in zip(order, medians(plan, order, name)):
                samples[role][name].append(value)
    if plan.progress:
        print(file=sys.stderr)
    return samples


def medians(plan, order, name):
    """The median of each role's process, in nanoseconds."""
    pattern = processes.exactly([name])
    cpus = plan.cpus or processes.processors([name])
    if plan.takes_turns:
        jobs = [processes.Job(plan.program(role), plan.variables(role, name)) for role in order]
        reports = processes.reports_in_turns(jobs, pattern, plan.timing, cpus)
    else:
        reports = [
            processes.report(
                plan.program(role), pattern, plan.timing, cpus, plan.variables(role, name)
            )
            for role in order
        ]
    values = []
    for role, report in zip(order, reports):
        found = processes.measured(report, plan.clock)
        found.require([name], plan.program(role))
        values.append(statistics.median(found.times[name]))
    return values


def ratios(above, below):
    return [math.log(a / b) for a, b in zip(above, below)]


def compare(plan):
    """The rows of the report, in the order of the names."""
    generator = random.Random(plan.seed)
    samples = batch(plan, plan.names, (BASE, AGAIN, HEAD), generator, "first batch")
    floors, first = {}, {}
    for i, name in enumerate(plan.names):
        base, again, head = (samples[role][name] for role in (BASE, AGAIN, HEAD))
        floors[name] = verdicts.floor(verdicts.summary(ratios(again, base), plan.seed + i))
        first[name] = verdicts.summary(ratios(head, base), plan.seed + i)
    first = verdicts.corrected(first)
    limits = {name: verdicts.threshold(floors[name], plan.least) for name in plan.names}

    differing = [
        name
        for name in plan.names
        if verdicts.side(first[name], limits[name], plan.least)
        in (verdicts.SLOWER, verdicts.FASTER)
    ]
    second = {}
    if differing:
        repeated = batch(plan, differing, (BASE, HEAD), generator, "second batch")
        for i, name in enumerate(differing):
            pairs = ratios(repeated[HEAD][name], repeated[BASE][name])
            second[name] = verdicts.summary(pairs, plan.seed + 1_000_003 + i)
        second = verdicts.corrected(second)
    return [
        row(plan, name, samples, first[name], second.get(name), floors[name])
        for name in plan.names
    ]


def report(plan, context, base, head, rows):
    """What --json writes."""
    return {
        "base": base,
        "head": head,
        "floor": max(row["floor"] for row in rows),
        "pairs": plan.pairs,
        "seed": plan.seed,
        "clock": plan.clock,
        "cpus": list(plan.cpus or processes.processors(plan.names)),
        "context": context,
        "benchmarks": rows,
    }


def row(plan, name, samples, first, second, floor):
    limit = verdicts.threshold(floor, plan.least)
    result = {
        "name": name,
        "base_median_ns": statistics.median(samples[BASE][name]),
        "head_median_ns": statistics.median(samples[HEAD][name]),
        **spread(first),
        "floor": floor,
        "threshold": limit,
        "verdict": verdicts.verdict(first, second, limit, plan.least),
        "samples_ns": {role: samples[role][name] for role in samples},
    }
    if second is not None:
        result["second"] = spread(second)
    return result


def spread(summary):
    return {
        "ratio": math.exp(summary.middle),
        "low": math.exp(summary.low),
        "high": math.exp(summary.high),
        "p": summary.p,
    }


def table(rows):
    """The rows as Markdown."""
    yield "| benchmark | base | head | head / base | 95% interval | p (Holm) | floor | verdict |"
    yield "|---|---:|---:|---:|---:|---:|---:|---|"
    for row in rows:
        yield (
            f"| {row['name']} | {shown(row['base_median_ns'])} | {shown(row['head_median_ns'])} "
            f"| {row['ratio']:.3f} | {row['low']:.3f} to {row['high']:.3f} | {row['p']:.2g} "
            f"| {100 * row['floor']:.1f}% | {row['verdict']} |"
        )


def shown(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3f} {unit}"
    return f"{nanoseconds:.2f} ns"
