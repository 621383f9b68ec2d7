"""Holds the instructions, allocations and bytes of each benchmark to the budgets on record.

    scripts/bench instructions                     the gate
    scripts/bench instructions --accept            takes today's counts for budgets
    scripts/bench instructions --filter REGEX      some benchmarks only
    scripts/bench instructions --base main         and the functions and lines that took more since
    scripts/bench instructions --package . --product my-benchmarks

Each benchmark's body runs three times under valgrind's callgrind, and the third call alone is counted.
Two such runs must agree to the instruction, and to 1% where the call allocates. Where a name says threads:2
or more all threads are counted, but for what waits, and the runs must agree to 0.5%, and 8 KiB of stack a
further thread. Noise cannot trip this gate, and it needs neither a quiet machine nor hardware counters. It
fails where a benchmark

    takes over 1% more instructions, or touches over 1% (and 256, and that stack) more bytes, than its budget;
    allocates memory more often than its budget, which is 0 for every kernel of this package;
    has no budget, or is gone while its budget is not.

It then prints the change of the budget file that would accept, which --accept makes. Budgets lie in
Benchmarks/Baselines/ of the package, a file for each toolchain, instruction set and OpenBLAS, for
each of them changes the counts: swift-6.3.1-avx2-openblas-0.3.21-haswell.json. valgrind 3.19 has at
most AVX2, and shows every program the same processor, so the host's does not matter.

Where there is no file for the present key, the counts are printed and the status is 0, for another
toolchain's budgets say nothing. With CI=true it is 1 if the folder has budgets of this toolchain for
another instruction set or OpenBLAS: then the machine's image has changed, and the gate would be off
without anyone's notice.

A benchmark that fails is an error; one that is skipped is left out with a message, so that its budget,
if it has one, is gone. Exit status: 0 within budget, 2 over it, 1 an error.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import budgets, environment, instructions, profiles, revisions

ROOT = pathlib.Path(__file__).resolve().parents[3]
PRODUCT = "embed-benchmarks"
# Every kernel of every backend on one thread. Steps and layers at the small shapes only, for
# valgrind fills tables ten times slower. On two threads what a caller gets, at shapes that are cut.
BACKEND = "(openblas|simd|native|auto)[^/]*/f32"
ONE = "/threads:1/"
TWO = "/threads:2/"
KERNELS = "|".join(
    [
        f"^(forward|backward)/{BACKEND}/V1000_B8_T4_D256/((row_sparse|dense)/)?threads:1/",
        f"^forward/{BACKEND}/V50257_B8_T(4|128)_D256{ONE}",
        f"^forward/(native|simd)/(bf16|f16)/V50257_B8_T4_D256{ONE}",
        f"^layernorm/{BACKEND}/V50257_B8_T4_D256{ONE}",
        f"^step/(sgd|adagrad|adamw-lazy)/{BACKEND}/V50257_B8_T4_D256/fused{ONE}",
        f"^rope/{BACKEND}/B8_H12_T1_D64/.*{ONE}",
        f"^(alibi|t5)/{BACKEND}/B1_H1_Q64_K64{ONE}",
        f"^forward/auto/f32/V1000_B8_T1024_D768{TWO}",
        f"^backward/auto/f32/V50257_B8_T1024_D64/(row_sparse|dense){TWO}",
        f"^step/sgd/auto/f32/V50257_B8_T1024_D768/fused{TWO}",
    ]
)
# A few lines more or less are where stack and heap happen to lie.
LIMITS = {
    "allocations": budgets.Limit(0, 0),
    "instructions": budgets.Limit(0.01, 0),
    "bytes_read": budgets.Limit(0.01, 256, instructions.STACK),
    "bytes_written": budgets.Limit(0.01, 256, instructions.STACK),
}


def parse_arguments():
    parser = environment.Parser(__doc__)
    parser.add_argument("--accept", action="store_true", help="write the budgets")
    parser.add_argument("--filter", metavar="REGEX", help="benchmarks by name")
    parser.add_argument(
        "--base", metavar="COMMIT", help="built too, to name the functions of what is over its budget"
    )
    parser.add_argument(
        "--json", type=environment.output, metavar="FILE", help="write the counts here"
    )
    parser.add_argument(
        "--baselines", type=pathlib.Path, metavar="FOLDER", help="budgets elsewhere"
    )
    parser.add_argument("--package", type=pathlib.Path, default=ROOT, metavar="FOLDER")
    parser.add_argument("--product", metavar="NAME", help=f"its program; {PRODUCT} of this one")
    arguments = parser.parse_args()
    if arguments.product is None:
        if arguments.package.resolve() != ROOT:
            parser.error("--package needs --product")
        arguments.product = PRODUCT
    arguments.is_part = arguments.filter is not None
    if arguments.filter is None:
        arguments.filter = KERNELS if arguments.package.resolve() == ROOT else "."
    return arguments


def main():
    arguments = parse_arguments()
    binary = revisions.build(arguments.package, arguments.product)
    # Where two runs differed, it was by a line of cache in the bytes: three attempts.
    for _ in range(3):
        context, counts, unsteady = instructions.count_twice(binary, arguments.filter)
        if not unsteady:
            break
    if unsteady:
        raise environment.Failure(f"two runs differ: {', '.join(unsteady)}")
    if arguments.json:
        arguments.json.write_text(budgets.text_of(counts))
    held = budgets.Held(
        arguments.baselines or arguments.package / "Benchmarks" / "Baselines", budgets.key(context),
        LIMITS, "bench instructions", arguments.is_part)
    if arguments.accept:
        return held.accept(counts)
    status, over = held.check(counts)
    if over and arguments.base:
        base = revisions.Package(arguments.package, arguments.product).revision(arguments.base)
        print("\n".join([*profiles.markdown(profiles.explain(base.binary, binary, over)), ""]))
    return status


if __name__ == "__main__":
    environment.main(main, "bench instructions")
