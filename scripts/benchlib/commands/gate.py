"""Holds ratios of benchmarks, all from one run, to the limits in Benchmarks/Baselines/ratios.json.

    scripts/bench gate                     the gate
    scripts/bench gate --file my.json --package . --product my-benchmarks

Of another package the file is Benchmarks/Baselines/ratios.json there, unless --file names one; the
article on regression timing (RegressionTiming.md) shows its form.

`auto` against the fastest backend, `native` against OpenBLAS, and the forward pass against a streaming
copy, per byte. All repetitions of all benchmarks run in random order in one process, so that the
machine's moods fall on all alike; a ratio is of medians. What exceeds its limit is looked at a second
time, alone and with three times the repetitions, and fails only if it exceeds again. Limits are
generous: this gate is for what has gone plainly wrong on any machine, scripts/bench compare and
scripts/bench instructions are for small differences.

Exit status: 0 within the limits, 2 beyond one, 1 an error: no such file, a benchmark that a rule names
and that was skipped, failed or gave no time.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import environment, gates, processes, revisions

ROOT = pathlib.Path(__file__).resolve().parents[3]
PRODUCT = "embed-benchmarks"
LOOKS = (1, 3)


def parse_arguments():
    parser = environment.Parser(__doc__)
    parser.add_argument("--file", type=pathlib.Path, metavar="FILE", help="other gates")
    parser.add_argument("--package", type=pathlib.Path, default=ROOT, metavar="FOLDER")
    parser.add_argument("--product", metavar="NAME", help=f"its program; {PRODUCT} of this one")
    parser.add_argument("--repetitions", type=environment.count, default=11, metavar="N")
    parser.add_argument("--min-time", type=environment.positive, default=0.02, metavar="SECONDS")
    arguments = parser.parse_args()
    if arguments.product is None:
        if arguments.package.resolve() != ROOT:
            parser.error("--package needs --product")
        arguments.product = PRODUCT
    if arguments.file is None:
        arguments.file = arguments.package / "Benchmarks" / "Baselines" / "ratios.json"
    return arguments


def exceeding(binary, chosen, timing):
    """The gates that a run exceeds; prints each."""
    pattern = "|".join(f"{processes.exactly([name])[:-1]}(/real_time)?$" for name in gates.names(chosen))
    costs = gates.costs(processes.report(binary, pattern, timing))
    for gate in chosen:
        found = gates.ratio(gate, *costs)
        over = found > gate.at_most
        print(
            f"{'OVER' if over else 'ok  '} {found:.2f} (at most {gate.at_most:.2f}) "
            f"{gate.rule}: {gate.measured}",
            flush=True,
        )
        if over:
            yield gate


def main():
    arguments = parse_arguments()
    chosen = gates.read(arguments.file)
    binary = revisions.build(arguments.package, arguments.product)
    for look in LOOKS:
        timing = processes.Timing(arguments.repetitions * look, arguments.min_time)
        chosen = list(exceeding(binary, chosen, timing))
        if not chosen:
            return 0
        if look != LOOKS[-1]:
            print("a second look at what was over:")
    return 2


if __name__ == "__main__":
    environment.main(main, "bench gate")
