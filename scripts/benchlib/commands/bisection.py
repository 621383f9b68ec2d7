"""Finds the commit that slowed a benchmark, in as few builds as need be.

    scripts/bench bisect GOOD BAD --filter '^forward/auto/.*T4_D256/threads:1'
    scripts/bench bisect v1.0 main --filter ^dot/ --package . --product my-benchmarks

GOOD is an ancestor of BAD. First both are compared as by scripts/bench compare; where several of the selected
benchmarks are slower, the one that slowed the most is followed. Then the commits between, merges as one
step, are halved: a commit is built in the same cached worktrees, and timed in pairs against GOOD until it
is sure on which side of half the slowdown it lies. Of n commits that takes log2(n) builds beside
the two. A commit that does not build, or does not measure the benchmark, is passed over for a neighbour.

At the end the commit is compared with the one before it, and its own part of the slowdown told: where
that is less than half, several commits share it. The functions whose instructions changed are named, as
by scripts/bench compare.

All sides together are right with 95%, for the level is shared among the halvings. Where 25 pairs twice
cannot tell, the search ends with the commits that are left.

Exit status: 0 and the commit on standard output, or 1: BAD is not slower, or the search could not end.
"""

import dataclasses
import math
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import environment
from benchlib.commands import compare

# Batches of a commit before the search gives up on it.
TRIES = 2


@dataclasses.dataclass
class Search:
    """The commits from GOOD (0) to BAD (the last), and what is known of them."""

    package: object
    commits: list
    plan: object
    name: str
    # The logarithm of BAD's time over GOOD's.
    whole: float
    seed: int

    def __post_init__(self):
        self.good, self.bad = 0, len(self.commits) - 1
        self.left_out = set()
        self.programs = {self.good: self.plan.base, self.bad: self.plan.head}
        self.level = 0.05 / max(1, math.ceil(math.log2(max(2, self.bad))))

    def next(self):
        """The commit nearest to the middle that is not left out, or nil."""
        middle = (self.good + self.bad) / 2
        between = set(range(self.good + 1, self.bad)) - self.left_out
        return min(between, key=lambda index: (abs(index - middle), index), default=None)

    def build(self, index):
        # The others that are in use stay, however many are built.
        for used in (0, self.good, self.bad):
            self.package.keep(self.commits[used])
        self.programs[index] = self.package.revision(self.commits[index]).binary

    def plan_for(self, base, head):
        from benchlib import processes

        programs = (self.programs[base], self.programs[head])
        return dataclasses.replace(
            self.plan, base=programs[0], head=programs[1], seed=self.seed + head,
            iterations={self.name: self.plan.iterations[self.name]},
            takes_turns=all(map(processes.takes_turns, programs)))

    def summary(self, index):
        """A batch of a commit against GOOD, until it is on one side of half the slowdown."""
        from benchlib import comparison, verdicts

        plan = self.plan_for(0, index)
        half = self.whole / 2

        def judge(name, look, found):
            ratios = comparison.ratios(plan, found[comparison.HEAD], found[comparison.BASE])
            summary = verdicts.summary(ratios, look)
            return summary, summary.low > half or summary.high < half

        _, found = comparison.batch(
            plan, [self.name], (comparison.BASE, comparison.HEAD), random.Random(plan.seed),
            self.commits[index][:12], judge, self.level / TRIES)
        return found[self.name]

    def step(self, index):
        """Whether it is known on which side a commit lies, having narrowed the search."""
        for _ in range(TRIES):
            summary = self.summary(index)
            if summary.low > self.whole / 2:
                self.bad = index
                return True
            if summary.high < self.whole / 2:
                self.good = index
                return True
        return False

    def run(self):
        while (index := self.next()) is not None:
            try:
                self.build(index)
                is_known = self.step(index)
            except environment.Failure as failure:
                print(f"passed over: {self.commits[index][:12]}: {failure}", file=sys.stderr)
                self.left_out.add(index)
                continue
            if not is_known:
                raise environment.Failure(
                    f"cannot tell {self.commits[index][:12]} from half the slowdown: it is one of "
                    f"{self.bad - self.good} commits after {self.commits[self.good][:12]}, up to "
                    f"{self.commits[self.bad][:12]}; measure longer, or on a quieter machine")
            left = self.bad - self.good - 1
            print(f"{self.commits[index][:12]} is {'slow' if self.bad == index else 'fast'}; "
                  f"{left} between", file=sys.stderr)


def commits(package, good, bad):
    """The commits from GOOD to BAD along first parents, and both as they are named."""
    first, last = (package.commit(name) for name in (good, bad))
    try:
        package.git("merge-base", "--is-ancestor", first, last)
    except environment.Failure:
        raise environment.Failure(f"{good} is no ancestor of {bad}") from None
    found = package.git("rev-list", "--reverse", "--first-parent", "--ancestry-path", f"{first}..{last}").split()
    if not found:
        raise environment.Failure(f"{good} and {bad} are one commit")
    return [first, *found]


def parse_arguments():
    parser = environment.Parser(__doc__)
    parser.add_argument("good", metavar="GOOD", help="a commit, branch or tag, that is fast")
    parser.add_argument("bad", metavar="BAD", help="a later one, that is slow")
    compare.add_options(parser)
    return compare.parsed(parser)


def slowed(rows):
    """The row that slowed the most."""
    from benchlib import verdicts

    slower = [row for row in rows if row["verdict"] == verdicts.SLOWER]
    if not slower:
        told = ", ".join(f"{row['name']} is {row['verdict']} ({row['ratio']:.3f})" for row in rows)
        raise environment.Failure(f"nothing to search for: {told}")
    row = max(slower, key=lambda row: row["ratio"])
    print(f"{row['name']}: {100 * (row['ratio'] - 1):+.1f}%", file=sys.stderr)
    return row


def told(search, row, explained):
    """The lines of the answer."""
    from benchlib import profiles

    commit = search.commits[search.bad]
    subject = search.package.git("show", "--no-patch", "--format=%s", commit)
    yield f"{commit} {subject}"
    yield f"{search.name}: {100 * math.expm1(search.whole):+.1f}% in all, {100 * (row['ratio'] - 1):+.1f}% by this commit ({row['verdict']})"
    if math.log(row["ratio"]) < search.whole / 2:
        yield "that is less than half: several commits share it"
    passed = [search.commits[index][:12] for index in range(search.good + 1, search.bad)]
    if passed:
        yield f"or one of those passed over before it: {', '.join(passed)}"
    yield from profiles.markdown(explained)


def main():
    arguments = parse_arguments()
    environment.enter()
    from benchlib import comparison, profiles, revisions

    package = revisions.Package(arguments.package, arguments.product)
    between = commits(package, arguments.good, arguments.bad)
    good, bad = (package.revision(name) for name in (between[0], between[-1]))
    plan, _ = comparison.prepare(
        good.binary, bad.binary, arguments.filter, compare.options(arguments))
    row = slowed(comparison.compare(plan))
    search = Search(package, between, plan, row["name"], math.log(row["ratio"]), arguments.seed)
    search.run()
    (last,) = comparison.compare(search.plan_for(search.good, search.bad))
    explained = profiles.explain(
        search.programs[search.good], search.programs[search.bad], [search.name])
    text = "\n".join([*told(search, last, explained), ""])
    if arguments.markdown:
        arguments.markdown.write_text(text)
    print(text, end="")
    return 0


if __name__ == "__main__":
    environment.main(main, "bench bisect")
