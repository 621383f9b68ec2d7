"""Budgets: what each benchmark may take of things that are counted, in a file a toolchain, instruction set and
OpenBLAS, for each of them changes the counts. A line a benchmark, so that a change of one is a line of a
diff. The gates on instructions and on memory are such."""

import dataclasses
import difflib
import json
import os
import pathlib
import re
import sys

from benchlib import environment, processes, reports


@dataclasses.dataclass(frozen=True)
class Limit:
    """How far a count may exceed its budget: by a part of it, or by so many if that is more, and by so many
    for each thread beside the first."""

    part: float
    slack: int
    per_thread: int = 0

    def is_exceeded(self, budget, found, threads=1):
        slack = self.slack + self.per_thread * (threads - 1)
        return found > max(budget * (1 + self.part), budget + slack)


def toolchain():
    text = processes.execute(["swift", "--version"])
    found = re.search(r"Swift version (\d+(?:\.\d+)*)", text)
    if not found:
        raise environment.Failure(f"'swift --version' names no version: {text.strip()}")
    return f"swift-{found[1]}"


def key(context):
    """What the counts depend on beside the source, as a file's name."""
    parts = [toolchain(), context.get("instruction_set", "generic")]
    version = re.search(r"OpenBLAS (\S+)", context.get("openblas", ""))
    if version:
        parts += ["openblas", version[1], context.get("openblas_core", "unknown")]
    return "-".join(parts).lower()


def text_of(counts):
    """A line a benchmark."""
    lines = [f" {json.dumps(name)}: {json.dumps(counts[name])}" for name in sorted(counts)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


@dataclasses.dataclass(frozen=True)
class Held:
    """The budgets of one key in a folder, and the command that holds to them."""

    folder: pathlib.Path
    key: str
    # Figure -> Limit, in the order of messages.
    limits: dict
    command: str
    # Whether some benchmarks were left out on purpose, so that none is gone.
    is_part: bool
    # What the names of these files begin with, beside those of the gate on instructions.
    prefix: str = ""

    @property
    def file(self):
        return self.folder / f"{self.prefix}{self.key}.json"

    def known(self):
        """What the file allows, or nothing where there is none."""
        if not self.file.exists():
            return {}
        known = reports.load(self.file)
        if not isinstance(known, dict):
            raise environment.Failure(f"{self.file} is no file of budgets: expected an object")
        for name, budget in known.items():
            for part in self.limits:
                value = budget.get(part) if isinstance(budget, dict) else None
                reports.number(value, f"{self.file}: {name}: {part}", 0)
        return known

    def excess(self, name, budget, found):
        """What of a benchmark is over its budget, as words."""
        for part, limit in self.limits.items():
            if limit.is_exceeded(budget[part], found[part], processes.threads(name)):
                rise = f" (+{100 * (found[part] / budget[part] - 1):.1f}%)" if budget[part] else ""
                yield f"{part} {budget[part]} -> {found[part]}{rise}"

    def problems(self, known, counts):
        """(benchmark, words) of all that the gate fails on."""
        for name, found in counts.items():
            if name not in known:
                yield name, "no budget"
            else:
                yield from ((name, words) for words in self.excess(name, known[name], found))
        if not self.is_part:
            yield from ((name, "gone") for name in known if name not in counts)

    def wanted(self, counts):
        return {**self.known(), **counts} if self.is_part else counts

    def accept(self, counts):
        """Writes the budgets; the status."""
        text = text_of(self.wanted(counts))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)
        print(f"{len(counts)} budgets in {self.file}")
        return 0

    def check(self, counts):
        """The status, and the names that are over their budget; tells both."""
        if not self.file.exists():
            print(text_of(counts), end="")
            return self.missing(), []
        found = list(self.problems(self.known(), counts))
        for benchmark, words in found:
            print(f"{benchmark}: {words}")
        if not found:
            print(f"{len(counts)} benchmarks within their budgets of {self.key}")
            return 0, []
        print(f"if that is meant, scripts/{self.command} --accept makes this change:")
        old, new = self.file.read_text(), text_of(self.wanted(counts))
        sys.stdout.writelines(
            difflib.unified_diff(old.splitlines(True), new.splitlines(True), "budget", "counted"))
        return 2, sorted({name for name, words in found if words not in ("no budget", "gone")})

    def missing(self):
        """No budgets for this key: what to say, and the status."""
        version = "-".join(self.key.split("-")[:2])
        others = sorted(path.name for path in self.folder.glob(f"{self.prefix}{version}-*.json"))
        print(f"no budgets for {self.key} in {self.folder}")
        print(f"to make them, run scripts/{self.command} --accept here and commit the file")
        if os.environ.get("CI") == "true" and others:
            print(f"this toolchain's budgets are for another image: {', '.join(others)}")
            return 2
        return 0
