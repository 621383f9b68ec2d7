"""Holds the memory that each benchmark takes, and the program's size, to the budgets on record.

    scripts/bench memory                       the gate
    scripts/bench memory --accept              takes today's figures for budgets
    scripts/bench memory --filter REGEX        some benchmarks only
    scripts/bench memory --package . --product my-benchmarks

Each benchmark runs in processes of its own, on as many processors as it has threads: with 1 iteration and
with 101, and once more where that is over a budget. The gate fails where

    peak_bytes     of 1 iteration, tables and all that it sets up included, beyond those of the program that
                   only tells the benchmark's name, is over 2% (and 4 MiB) above its budget;
    growth         of the peak in 100 iterations more is over 1 MiB above it: what each leaves behind;
    page_faults    in 100 iterations more are over 200 above it: memory taken anew each time;
    size           of the program without debug information, line (program), is over 1% (and 4 KiB) larger;

and where a benchmark has no budget, or is gone while its budget is not. Large pages are off in what is measured,
and glibc keeps nothing that is freed, so none of these depends on the kernel's settings or the processor.
--accept takes growth and faults within their limits for 0, for that is chance. How often a process faults in
all is no figure: that is of one kernel. Budgets lie in Benchmarks/Baselines/ of the package, a file for each
toolchain and architecture, such as memory-swift-6.3.1-x86_64.json. Where there is none the figures are printed
and the status is 0, but 2 with CI=true where this toolchain has one for another architecture.

--hardware tells instructions, cycles, branch misses and cache misses of an iteration by the processor's
own counters, which gate nothing: many virtual machines show none, which is then said. There
scripts/bench instructions counts with callgrind.

Exit status: 0 within budget, 2 over it, 1 an error.
"""

import concurrent.futures as futures
import os
import pathlib
import platform
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import budgets, environment, processes, revisions, usage

ROOT = pathlib.Path(__file__).resolve().parents[3]
PRODUCT = "embed-benchmarks"
# Tables of GPT-2's size, where a copy would show, on two threads; the small shape, where all else does, on one.
KERNELS = "(forward|layernorm|backward|step/(sgd|adamw-lazy))/auto/f32"
FORM = "(row_sparse/|dense/|fused/)?"
TABLES = f"^{KERNELS}/V50257_B8_(T4_D256/{FORM}threads:1|T1024_D768/{FORM}threads:2)/"
LIMITS = {
    "peak_bytes": budgets.Limit(0.02, 4 << 20),
    "growth": budgets.Limit(0.05, 1 << 20),
    "page_faults": budgets.Limit(0.05, 200),
    "size": budgets.Limit(0.01, 4096),
}
STEADY = ("growth", "page_faults")
# Iterations beyond the first that growth and faults are of.
MORE = 100
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
    """Name -> figures, side by side, for they do not depend on what else the machine does."""
    rest = usage.without_work(program, names[0])
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(lambda name: of(program, name, rest), names)))


def of(program, name, rest):
    once, often = (usage.of_benchmark(program, name, iterations) for iterations in (1, 1 + MORE))
    return {
        "peak_bytes": max(0, once.peak_bytes - rest.peak_bytes),
        "growth": max(0, often.peak_bytes - once.peak_bytes),
        "page_faults": max(0, often.page_faults - once.page_faults),
        "size": 0,
    }


def least(found, other):
    """Figure by figure, of two runs of the same benchmarks."""
    return {name: {part: min(value, other[name][part]) for part, value in found[name].items()} for name in other}


def steady(figures):
    """Figures as budgets: what is within the limits of a steady state is 0, for it differs by chance."""
    return {
        name: {
            part: 0 if part in STEADY and not LIMITS[part].is_exceeded(0, value) else value
            for part, value in found.items()
        } for name, found in figures.items()
    }


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
    figures = {PROGRAM: {"peak_bytes": 0, "growth": 0, "page_faults": 0, "size": usage.size(program)}}
    figures.update(measured(program, names))
    held = budgets.Held(
        arguments.baselines or arguments.package / "Benchmarks" / "Baselines", f"{budgets.toolchain()}-{platform.machine()}",
        LIMITS, "bench memory", arguments.is_part, "memory-")
    # What chance adds to one run it does not add to two.
    again = names if arguments.accept else [
        name for name, words in held.problems(held.known(), figures) if name in names and words != "no budget"]
    if again:
        figures.update(least(figures, measured(program, sorted(set(again)))))
    if arguments.json:
        arguments.json.write_text(budgets.text_of(figures))
    return held.accept(steady(figures)) if arguments.accept else held.check(figures)[0]


if __name__ == "__main__":
    environment.main(main, "bench memory")
