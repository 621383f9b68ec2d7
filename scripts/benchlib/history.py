"""Results of many commits: an append-only file of JSON lines, by itself or on a git branch, and where a
benchmark's times or instructions changed.

A line is a run: commit, its date and subject, the machine, and each benchmark's median with quartiles, or
its instructions as scripts/bench instructions counts them. What is of one machine is a series, a point a
commit (the median of its runs), in the order of the commits' dates.

Changes are where a piecewise constant function with a price for each step fits the logarithms best:
exact optimal segmentation by dynamic programming with pruning, of the library ruptures (KernelCPD with
a linear kernel). The noise is estimated from the differences of neighbours, which steps hardly touch;
what lies far from the median of its neighbours is drawn in first, so that a run on a busy machine is
no step. A step needs three commits after it.
"""

import dataclasses
import datetime
import json
import math
import os
import pathlib
import statistics
import subprocess

from benchlib import environment, reports

FILE = "history.jsonl"
FIELDS = ("ns", "low", "high", "n")
# A series' unit, which is its field of a benchmark, and what it is.
UNITS = {"ns": "a time", "instructions": "a count"}
# The price of a step, in variances of the noise times the logarithm of the length: see the article on
# regression timing for the false alarms and misses that this gives.
PRICE = 4
# Commits between steps at least, and at both ends.
SHORTEST = 3
# Drawn in to so many deviations from the median of so many neighbours.
NEAR, NEIGHBOURS = 2, 5
# Less than this part is no change, however little noise there is.
LEAST = 0.01


@dataclasses.dataclass(frozen=True)
class Point:
    """One commit of a series."""

    commit: str
    date: str
    subject: str
    # In nanoseconds, or how many instructions.
    value: float
    unit: str = "ns"


@dataclasses.dataclass(frozen=True)
class Change:
    """From the point at `index` on, values are others: `before` and `after` are the medians of the stretches
    on both sides, in the points' unit."""

    index: int
    point: Point
    before: float
    after: float

    @property
    def ratio(self):
        return self.after / self.before


def git(folder, *arguments, text=None, accepts=(0,)):
    command = ["git", "-C", str(folder), *arguments]
    result = subprocess.run(command, input=text, capture_output=True, text=True)
    if result.returncode not in accepts:
        raise environment.Failure(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout.strip()


def described(folder, name, path):
    """Commit, date and subject of what `name` names."""
    try:
        told = git(folder, "show", "--no-patch", "--format=%H%n%cI%n%s", f"{name}^{{commit}}")
    except environment.Failure:
        raise environment.Failure(f"'{name}', of {path}, names no commit of {folder}") from None
    return dict(zip(("commit", "date", "subject"), told.split("\n", 2)))


def counts(found, path, folder, commit):
    """The line for the instructions of a commit: a file of budgets, or what bench instructions --json wrote.
    Files of one name are a series, for budgets are named for what counts depend on."""
    if commit is None:
        raise environment.Failure(f"{path} has counts of no named commit: name it by --commit")
    values = {
        name: {"instructions": reports.number(entry.get("instructions"), f"{path}: {name}: instructions", 0)}
        for name, entry in found.items()
    }
    return {**described(folder, commit, path), "machine": f"instructions, {pathlib.Path(path).stem}",
            "unit": "instructions", "benchmarks": values}


def budgets(path, folder):
    """A line for each commit that changed a file of budgets, which is named from here or from the folder."""
    found = []
    if pathlib.Path(path).exists():
        path = os.path.relpath(pathlib.Path(path).resolve(), pathlib.Path(folder).resolve())
    for commit in git(folder, "log", "--reverse", "--format=%H", "--", path).split():
        place = f"{commit[:12]}:{path}"
        text = git(folder, "show", f"{commit}:./{path}", accepts=(0, 128))
        # A commit that removes the file.
        if text:
            found.append(counts(parsed(text, place), path, folder, commit))
    if not found:
        raise environment.Failure(f"no commit of {folder} has a file {path}")
    return found


def parsed(text, place):
    try:
        found = json.loads(text)
    except ValueError as error:
        raise environment.Failure(f"{place} is not JSON: {error}") from None
    if not are_counts(found):
        raise environment.Failure(f"{place} is no file of counts: expected instructions by benchmark")
    return found


def are_counts(found):
    """Whether a file is of counts rather than Google Benchmark's."""
    return isinstance(found, dict) and bool(found) and all(
        isinstance(entry, dict) and "instructions" in entry for entry in found.values())


def run(path, folder, commit=None):
    """The line for one of Google Benchmark's reports, or of counts, of a commit of the repository at
    `folder`."""
    loaded = reports.load(path)
    if are_counts(loaded):
        return counts(loaded, path, folder, commit)
    report = reports.read(loaded, path).tell()
    if not report.measured:
        raise environment.Failure(f"{path} has no measured benchmark")
    name = commit or str(report.context.get("commit", "unknown"))
    if name == "unknown" or name.endswith("-dirty"):
        raise environment.Failure(f"{path} is of commit '{name}': name one by --commit")
    told = described(folder, name, path)
    benchmarks = {}
    for name, times in report.times.items():
        low, middle, high = (
            statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3)
        benchmarks[name] = dict(zip(FIELDS, (middle, low, high, len(times))))
    machine = ", ".join(str(report.context[key]) for key in ("cpu", "processors") if key in report.context)
    return {**told, "machine": machine or "unknown",
            "toolchain": str(report.context.get("toolchain", "unknown")), "benchmarks": benchmarks}


@dataclasses.dataclass(frozen=True)
class Store:
    """Where the lines are: a file, or the file history.jsonl on a branch of the repository at `folder`."""

    folder: os.PathLike
    file: os.PathLike | None = None
    branch: str | None = None

    def __str__(self):
        return str(self.file) if self.file else f"{self.branch}:{FILE}"

    def text(self):
        if self.file:
            return self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        return self.text_at(self.tip())

    def text_at(self, tip):
        # An absent branch is a history without runs.
        return git(self.folder, "show", f"{tip}:{FILE}") + "\n" if tip else ""

    def tip(self):
        ref = f"refs/heads/{self.branch}"
        return git(self.folder, "rev-parse", "--verify", "--quiet", ref, accepts=(0, 1))

    def append(self, runs):
        """Adds lines behind those that are there, all or none."""
        lines = "".join(json.dumps(run, allow_nan=False) + "\n" for run in runs)
        if self.file:
            before = self.text()
            if before and not before.endswith("\n"):
                raise environment.Failure(f"{self.file} ends within a line")
            with open(self.file, "a", encoding="utf-8") as file:
                file.write(lines)
            return
        # A commit of its own root, made without a work tree; another's at the same time is not lost.
        tip = self.tip()
        blob = git(self.folder, "hash-object", "-w", "--stdin", text=self.text_at(tip) + lines)
        tree = git(self.folder, "mktree", text=f"100644 blob {blob}\t{FILE}\n")
        parents = ("-p", tip) if tip else ()
        names = ("-c", "user.name=bench history", "-c", "user.email=bench@localhost")
        made = git(self.folder, *names, "commit-tree", tree, *parents, "-m", "Add results of benchmarks")
        git(self.folder, "update-ref", f"refs/heads/{self.branch}", made, tip or "0" * 40)

    def runs(self):
        """All lines, checked; a line that is none is a failure that names its place."""
        found = []
        for number, line in enumerate(self.text().splitlines(), 1):
            place = f"{self}:{number}"
            try:
                run = json.loads(line)
            except ValueError as error:
                raise environment.Failure(f"{place} is not JSON: {error}") from None
            for field in ("commit", "date", "subject", "machine"):
                if not isinstance(run, dict) or not isinstance(run.get(field), str):
                    raise environment.Failure(f"{place} has no text '{field}'")
            if not isinstance(run.get("benchmarks"), dict):
                raise environment.Failure(f"{place} has no 'benchmarks'")
            unit = run.setdefault("unit", "ns")
            if unit not in UNITS:
                raise environment.Failure(f"{place}: unit is '{unit}': expected {' or '.join(UNITS)}")
            for name, entry in run["benchmarks"].items():
                value = entry.get(unit) if isinstance(entry, dict) else None
                if reports.number(value, f"{place}: {name}: {unit}", 0) == 0:
                    raise environment.Failure(f"{place}: {name}: {unit} is 0: expected {UNITS[unit]}")
            found.append(run)
        return found


def series(runs):
    """machine -> benchmark -> points in the order of the commits' dates."""
    found = {}
    for run in sorted(runs, key=lambda run: instant(run["date"])):
        for name, entry in run["benchmarks"].items():
            times = found.setdefault(run["machine"], {}).setdefault(name, {})
            unit = run.get("unit", "ns")
            first, values = times.setdefault(run["commit"], (run, []))
            if first.get("unit", "ns") != unit:
                raise environment.Failure(
                    f"{run['machine']}: {name}: {run['commit'][:12]} has {first.get('unit', 'ns')} and {unit}")
            values.append(float(entry[unit]))
    return {
        machine: {
            name: [Point(commit, run["date"], run["subject"], statistics.median(times), run.get("unit", "ns"))
                   for commit, (run, times) in commits.items()]
            for name, commits in names.items()
        } for machine, names in found.items()
    }


def instant(date):
    try:
        found = datetime.datetime.fromisoformat(date.replace("Z", "+00:00"))
    except ValueError:
        raise environment.Failure(f"'{date}' is no date such as 2026-01-31T12:00:00+00:00") from None
    return found if found.tzinfo else found.replace(tzinfo=datetime.timezone.utc)


def steps(values):
    """Where the level of a series of logarithms changes: the first index of each new one."""
    import numpy
    import ruptures

    values = numpy.asarray(values, dtype=float)
    if len(values) < 2 * SHORTEST:
        return []
    # A pair of neighbours has twice the variance of one; 0.6745 deviations hold half of a normal one.
    noise = statistics.median(abs(numpy.diff(values))) / 0.6745 / math.sqrt(2)
    noise = max(noise, LEAST / 10)
    wide = numpy.pad(values, NEIGHBOURS // 2, mode="edge")
    middle = numpy.median(numpy.lib.stride_tricks.sliding_window_view(wide, NEIGHBOURS), axis=1)
    drawn = numpy.clip(values, middle - NEAR * noise, middle + NEAR * noise)
    found = ruptures.KernelCPD(kernel="linear", min_size=SHORTEST, jump=1).fit(drawn[:, None] / noise)
    return found.predict(pen=PRICE * math.log(len(values)))[:-1]


def changes(points):
    """The changes of one series."""
    times = [point.value for point in points]
    if points and points[0].unit == "instructions":
        found = [index for index in range(1, len(times)) if is_change(times[index] / times[index - 1])]
    else:
        found = steps([math.log(time) for time in times])
    edges = [0, *found, len(times)]
    levels = [statistics.median(times[a:b]) for a, b in zip(edges, edges[1:])]
    made = [
        Change(index, points[index], before, after)
        for index, before, after in zip(found, levels, levels[1:])
    ]
    return [change for change in made if is_change(change.ratio)]


def is_change(ratio):
    return abs(math.log(ratio)) >= math.log1p(LEAST)
