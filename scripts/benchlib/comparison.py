"""One comparison of two benchmark programs: batches of processes in random order, then verdicts.

A block of the first batch is three short processes of one benchmark, in random order, pinned alike:
base, base again and head. They work in turns, a repetition each, so that a neighbour's load, which
mostly lasts longer, falls on all and cancels in a pair's ratio: the median of the ratios turn by turn,
which on a busy machine varies a third as much as the ratio of the processes' medians. Base against base again gives the
floor, from the same minutes as the comparison. Where the first batch finds a difference, a second one
of base and head follows, for those benchmarks alone. Either batch goes on only with those benchmarks
of which it is not sure yet.
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
    """What is run: programs by role, names, pairs a batch at most, and how."""

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


def batch(plan, names, roles, generator, label, judge, level=None):
    """Runs blocks of the benchmarks until `judge` is sure of each, `plan.pairs` at most; by looks that spend
    `level` together.

    `judge(name, look, samples of each role)` says at a look what is known, and whether that is enough.
    Returns role -> name -> the times of each block, and name -> what was known at the last look.
    """
    samples = {role: {name: [] for name in names} for role in roles}
    known, unsure, done = {}, list(names), 0
    for look in verdicts.looks(plan.pairs, level or verdicts.level(len(plan.names))):
        for block in range(done, look.pairs):
            if plan.progress:
                print(
                    f"\r{label} {block + 1}/{plan.pairs}, {len(unsure)} of {len(names)} open  ",
                    end="", file=sys.stderr, flush=True)
            for name in generator.sample(unsure, len(unsure)):
                order = generator.sample(roles, len(roles))
                for role, value in zip(order, times(plan, order, name)):
                    samples[role][name].append(value)
        done = look.pairs
        for name in list(unsure):
            known[name], is_sure = judge(name, look, {role: samples[role][name] for role in roles})
            if is_sure:
                unsure.remove(name)
        if not unsure:
            break
    if plan.progress:
        print(file=sys.stderr)
    return samples, known


def times(plan, order, name):
    """The nanoseconds of each repetition of each role's process."""
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
        values.append(found.times[name])
    return values


def ratios(plan, above, below):
    """The logarithm of each block's ratio."""
    return [ratio(plan, *pair) for pair in zip(above, below, strict=True)]


def ratio(plan, above, below):
    if not plan.takes_turns:
        return math.log(statistics.median(above) / statistics.median(below))
    return statistics.median(math.log(a / b) for a, b in zip(above, below, strict=True))


def compare(plan):
    """The rows of the report, in the order of the names."""
    generator = random.Random(plan.seed)

    def judge(name, look, found):
        head = verdicts.summary(ratios(plan, found[HEAD], found[BASE]), look)
        same = verdicts.summary(ratios(plan, found[AGAIN], found[BASE]), look)
        limit = verdicts.threshold(verdicts.floor(same), plan.least)
        return (head, same), verdicts.side(head, limit, plan.least) != verdicts.INCONCLUSIVE

    samples, first = batch(
        plan, plan.names, (BASE, AGAIN, HEAD), generator, "first batch", judge)
    limits = {
        name: verdicts.threshold(verdicts.floor(same), plan.least) for name, (_, same) in first.items()
    }

    def judge_again(name, look, found):
        head = verdicts.summary(ratios(plan, found[HEAD], found[BASE]), look)
        return head, verdicts.side(head, limits[name], plan.least) != verdicts.INCONCLUSIVE

    differing = [
        name
        for name in plan.names
        if verdicts.side(first[name][0], limits[name], plan.least)
        in (verdicts.SLOWER, verdicts.FASTER)
    ]
    second = {}
    if differing:
        _, second = batch(plan, differing, (BASE, HEAD), generator, "second batch", judge_again)
    return [row(plan, name, samples, *first[name], second.get(name)) for name in plan.names]


def report(plan, context, base, head, rows):
    """What --json writes."""
    return {
        "base": base,
        "head": head,
        "floor": max(row["floor"] for row in rows),
        "pairs": plan.pairs,
        "level": verdicts.level(len(plan.names)),
        "seed": plan.seed,
        "clock": plan.clock,
        "cpus": list(plan.cpus or processes.processors(plan.names)),
        "context": context,
        "benchmarks": rows,
    }


def row(plan, name, samples, first, same, second):
    limit = verdicts.threshold(verdicts.floor(same), plan.least)
    last = verdicts.looks(plan.pairs, verdicts.level(len(plan.names)))[-1]
    # A process's median is its sample, beside which the pairs' ratios are kept.
    medians = {role: list(map(statistics.median, samples[role][name])) for role in samples}
    result = {
        "name": name,
        "base_median_ns": statistics.median(medians[BASE]),
        "head_median_ns": statistics.median(medians[HEAD]),
        **spread(first),
        "floor": verdicts.floor(same),
        "threshold": limit,
        "detectable": verdicts.detectable(first, same, last, plan.least),
        "verdict": verdicts.verdict(first, second, limit, plan.least),
        "samples_ns": medians,
        "pair_ratios": list(map(math.exp, ratios(plan, samples[HEAD][name], samples[BASE][name]))),
    }
    if second is not None:
        result["second"] = spread(second)
    return result


def spread(summary):
    return {
        "pairs": summary.look.pairs,
        "ratio": math.exp(summary.middle),
        "low": math.exp(summary.low),
        "high": math.exp(summary.high),
    }


def table(rows):
    """The rows as Markdown."""
    yield "| benchmark | base | head | head / base | interval | pairs | floor | would see | verdict |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---|"
    for row in rows:
        pairs = "+".join(str(part["pairs"]) for part in (row, row.get("second")) if part)
        yield (
            f"| {row['name']} | {shown(row['base_median_ns'])} | {shown(row['head_median_ns'])} "
            f"| {row['ratio']:.3f} | {row['low']:.3f} to {row['high']:.3f} | {pairs} "
            f"| {100 * row['floor']:.1f}% | {100 * row['detectable']:.1f}% | {row['verdict']} |"
        )


def shown(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3f} {unit}"
    return f"{nanoseconds:.2f} ns"
