"""Holds the peak memory and page faults of each benchmark, and the program's size, to the budgets on record.

    scripts/bench memory                       the gate
    scripts/bench memory --accept              takes today's figures for budgets
    scripts/bench memory --filter REGEX        some benchmarks only
    scripts/bench memory --package . --product my-benchmarks

Each benchmark runs once in a process of its own, on as many processors as it has threads; of three such runs
the least counts. Peak memory is what the process held at most, tables and all that it set up included; below
some 10 MB it is the launcher's. The gate fails where a benchmark

    holds over 2% (and 1 MiB) more memory, or takes over 5% (and 200) more page faults, than its budget;
    has no budget, or is gone while its budget is not;

and where the program, without debug information, is over 1% (and 4 KiB) larger: its line is (program). Budgets
lie in Benchmarks/Baselines/ of the package, a file for each toolchain and architecture, such as
memory-swift-6.3.1-x86_64.json. Where there is none the figures are printed and the status is 0, but 2 with
CI=true where this toolchain has one for another architecture.

--hardware tells instructions, cycles, branch misses and cache misses of an iteration by the processor's
own counters, which gate nothing: many virtual machines show none, which is then said. There
scripts/bench instructions counts with callgrind.

Exit status: 0 within budget, 2 over it, 1 an error.
"""

import pathlib
import platform
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import budgets, environment, processes, revisions, usage

ROOT = pathlib.Path(__file__).resolve().parents[3]
PRODUCT = "embed-benchmarks"
# Tables of GPT-2's size, where a copy would show, and the small shape, where everything else does.
TABLES = "^(forward|backward|layernorm|step/(sgd|adamw-lazy))/auto/f32/V50257_B8_T(4_D256|1024_D768)/.*threads:[12]/"
LIMITS = {
    "peak_bytes": budgets.Limit(0.02, 1 << 20),
    "page_faults": budgets.Limit(0.05, 200),
    "size": budgets.Limit(0.01, 4096),
}
PROGRAM = "(program)"
# Iterations of the runs under hardware counters.
COUNTED = 200


def parse_arguments():
    parser = environment.Parser(__doc__)
    parser.add_argument("--accept", action="store_true", help="write the budgets")
    parser.add_argument("--filter", metavar="REGEX", help="benchmarks by name")
    parser.add_argument("--hardware", action="store_true", help="tell the processor's counters instead")
    parser.add_argument("--json", type=environment.output, metavar="FILE", help="write the figures here")
    parser.add_argument("--baselines", type=pathlib.Path, metavar="FOLDER", help="budgets elsewhere")
    parser.add_argument("--package", type=pathlib.Path, default=ROOT, metavar="FOLDER")
    parser.add_argument("--product", metavar="NAME", help=f"its program; {PRODUCT} of this one")
    arguments = parser.parse_args()
    if arguments.product is None:
        if arguments.package.resolve() != ROOT:
            parser.error("--package needs --product")
        arguments.product = PRODUCT
    arguments.is_part = arguments.filter is not None
    if arguments.filter is None:
        arguments.filter = TABLES if arguments.package.resolve() == ROOT else "."
    return arguments


def measured(program, names):
    """Name -> figures, with the program's size."""
    figures = {PROGRAM: {"peak_bytes": 0, "page_faults": 0, "size": usage.size(program)}}
    for name in names:
        found = usage.of_benchmark(program, name)
        figures[name] = {"peak_bytes": found.peak_bytes, "page_faults": found.page_faults, "size": 0}
    return figures


def hardware(program, names):
    """The lines of a table of the processor's counters, or of why there is none."""
    yield f"| benchmark | {' | '.join(event.replace('_', ' ') for event in usage.HARDWARE)} |"
    yield "|---" + "|---:" * len(usage.HARDWARE) + "|"
    for name in names:
        try:
            found = usage.hardware(program, name, COUNTED)
            told = [f"{found[event]:,.0f}" for event in usage.HARDWARE]
        except environment.Failure as failure:
            told = [f"not counted: {failure}"] + [""] * (len(usage.HARDWARE) - 1)
        yield f"| {name} | {' | '.join(told)} |"


def main():
    arguments = parse_arguments()
    program = revisions.build(arguments.package, arguments.product)
    names = processes.listed(program, arguments.filter)
    if not names:
        raise environment.Failure(f"no benchmark matches '{arguments.filter}'")
    if arguments.hardware:
        print("\n".join(hardware(program, names)))
        return 0
    figures = measured(program, names)
    if arguments.json:
        arguments.json.write_text(budgets.text_of(figures))
    held = budgets.Held(
        arguments.baselines or arguments.package / "Benchmarks" / "Baselines", f"{budgets.toolchain()}-{platform.machine()}",
        LIMITS, "bench memory", arguments.is_part, "memory-")
    return held.accept(figures) if arguments.accept else held.check(figures)[0]


if __name__ == "__main__":
    environment.main(main, "bench memory")
