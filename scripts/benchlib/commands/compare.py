"""Compares the speed of two revisions of a package, and says so only when it is sure.

    scripts/bench compare BASE [HEAD]
    scripts/bench compare main                     HEAD is the commit checked out
    scripts/bench compare v1.0 . --json out.json   `.` is the working tree as it lies
    scripts/bench compare main --package ../Mine --product my-benchmarks

Both are built for release, in git worktrees kept by commit in the cache folder. For each benchmark, pairs
of processes run in random order on pinned processors, a repetition each in turns and all with the same
iterations. A pair gives the median of the head's time over the base's, turn by turn. A third process a pair is the base again: its interval's far end is the
floor of noise. After 10, 15, 20 and 25 pairs (2/5 to all of --pairs) a benchmark that is sure is done. The
interval is that of Wilcoxon's signed ranks, exact for any noise, with 95% for all four looks together, so
stopping early costs no errors.

A dependency by a relative path that lies outside of the package's repository serves both revisions as
it lies. A benchmark that neither measures (skipped, failed, no time) is left out by name; one that only
one of both measures is an error.

    slower, faster   the whole interval lies beyond max(5%, twice the floor), and a second batch of
                     pairs shows the same. With 95% and more, no benchmark of up to 40 that is less
                     than 5% slower or faster is called so; of more than 40, intervals are wider
    same             the whole interval lies within 5%: wrong for 2.5% of those at 5%, fewer beyond
    inconclusive     all else; measure longer, or on a quieter machine

Each row tells the smallest slowdown that it would have seen nine times of ten. What is slower is run
under callgrind too, base and head, where valgrind is there: the functions and lines whose instructions
changed the most are told below the table and in both files.

Exit status, as package-benchmark's: 0 equal (or inconclusive), 2 a regression, 4 an improvement and
no regression; 1 an error. NumPy is in a Python environment that this script makes on its first run.
"""

import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import environment

ROOT = pathlib.Path(__file__).resolve().parents[3]
PRODUCT = "embed-benchmarks"
# What a change of this package is judged by unless asked otherwise.
HEADLINE = (
    "^((forward|backward|layernorm|step/adamw-lazy)/auto/f32/V50257_B8_(T4_D256|T1024_D768)"
    "(/row_sparse|/fused)?|rope/auto/f32/B8_H12_T1024_D64/half)/threads:1/"
)


def add_options(parser):
    """What says which benchmarks are compared, and how."""
    parser.add_argument(
        "--filter", metavar="REGEX", help="benchmarks by name; the headline ones by default"
    )
    parser.add_argument(
        "--markdown", type=environment.output, metavar="FILE", help="what is told is written here too"
    )
    parser.add_argument(
        "--package", type=pathlib.Path, default=ROOT, metavar="FOLDER", help="a Swift package"
    )
    parser.add_argument("--product", metavar="NAME", help=f"its program; {PRODUCT} of this one")
    parser.add_argument(
        "--pairs", type=environment.at_least(15), default=25, metavar="N", help="a batch at most; 25, 15 at least"
    )
    parser.add_argument(
        "--repetitions", type=environment.count, default=21, metavar="N",
        help="of a benchmark in a process",
    )
    parser.add_argument(
        "--min-time", type=environment.positive, default=0.002, metavar="SECONDS",
        help="of one repetition",
    )
    parser.add_argument(
        "--least", type=environment.positive, default=0.05, metavar="PART",
        help="difference that counts; 0.05",
    )
    parser.add_argument(
        "--cpus", metavar="LIST", help="processors to pin to; as many as threads, the last ones"
    )
    parser.add_argument(
        "--clock",
        choices=("auto", "wall", "cpu"),
        default="auto",
        help="auto: processor time of benchmarks named threads:1, wall time of others",
    )
    parser.add_argument("--seed", type=int, help="of orders; random by default")


def parse_arguments():
    parser = environment.Parser(__doc__)
    parser.add_argument("base", metavar="BASE", help="a commit, branch or tag, or `.`")
    parser.add_argument("head", metavar="HEAD", nargs="?", default="HEAD", help="likewise")
    add_options(parser)
    parser.add_argument(
        "--json", type=environment.output, metavar="FILE", help="write the report here"
    )
    parser.add_argument(
        "--slow-head",
        metavar="FACTOR[:NAME]",
        help="slow the head's benchmarks on purpose, to see them caught",
    )
    parser.add_argument("--build-only", action="store_true", help="build both and stop")
    return parsed(parser)


def parsed(parser):
    """The arguments, with what follows from others."""
    arguments = parser.parse_args()
    if arguments.product is None:
        if arguments.package.resolve() != ROOT:
            parser.error("--package needs --product")
        arguments.product = PRODUCT
    if arguments.filter is None:
        arguments.filter = HEADLINE if arguments.package.resolve() == ROOT else "."
    try:
        arguments.cpus = arguments.cpus and tuple(map(int, arguments.cpus.split(",")))
    except ValueError:
        parser.error("--cpus takes numbers such as 2,3")
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1 << 31)
    return arguments


def options(arguments, **head_variables):
    """The fields of a plan that the arguments say."""
    from benchlib import processes

    return {
        "pairs": arguments.pairs,
        "timing": processes.Timing(arguments.repetitions, arguments.min_time),
        "cpus": arguments.cpus,
        "least": arguments.least,
        "clock": arguments.clock,
        "seed": arguments.seed,
        "head_variables": head_variables,
    }


def main():
    arguments = parse_arguments()
    environment.enter()
    from benchlib import comparison, processes, profiles, reports, revisions, verdicts

    package = revisions.Package(arguments.package, arguments.product)
    base, head = (package.revision(name) for name in (arguments.base, arguments.head))
    if arguments.head == "HEAD" and package.git("status", "--porcelain", "--untracked-files=no"):
        print("changes that are not committed are left out; give . as HEAD", file=sys.stderr)
    if arguments.build_only:
        return 0
    slow = {processes.SLOWDOWN: arguments.slow_head} if arguments.slow_head else {}
    plan, context = comparison.prepare(
        base.binary, head.binary, arguments.filter, options(arguments, **slow))
    rows = comparison.compare(plan)
    slower = [row["name"] for row in rows if row["verdict"] == verdicts.SLOWER]
    # What is slowed on purpose takes no more instructions a call.
    is_real = slower and not arguments.slow_head
    explained = profiles.explain(base.binary, head.binary, slower) if is_real else {}
    for row in rows:
        if row["name"] in explained:
            row["instructions"] = explained[row["name"]]
    report = comparison.report(plan, context, base.commit, head.commit, rows)
    if arguments.json:
        arguments.json.write_text(reports.text(report))
    title = f"base {short(base.commit)}, head {short(head.commit)}, seed {arguments.seed}"
    text = "\n".join([title, "", *comparison.table(rows), *profiles.markdown(explained), ""])
    if arguments.markdown:
        arguments.markdown.write_text(text)
    print(text, end="")
    return verdicts.status([row["verdict"] for row in rows])


def short(commit):
    return commit[:12] + ("-dirty" if commit.endswith("-dirty") else "")


if __name__ == "__main__":
    environment.main(main, "bench compare")
