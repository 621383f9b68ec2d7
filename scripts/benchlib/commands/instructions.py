"""Holds the instructions, allocations and bytes of each benchmark to the budgets on record.

    scripts/bench instructions                     the gate
    scripts/bench instructions --accept            takes today's counts for budgets
    scripts/bench instructions --filter REGEX      some benchmarks only
    scripts/bench instructions --base main         and the functions and lines that took more since
    scripts/bench instructions --package . --product my-benchmarks

Each benchmark's body runs three times under valgrind's callgrind, and the third call alone is counted.
Two such runs must agree to the instruction, and to 1% where the call allocates. Noise cannot trip this
gate, and it needs neither a quiet machine nor hardware counters. It fails where a benchmark

    takes over 1% more instructions, or touches over 1% (and 256) more bytes, than its budget;
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

import difflib
import json
import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import environment, instructions, processes, profiles, reports, revisions

ROOT = pathlib.Path(__file__).resolve().parents[3]
PRODUCT = "embed-benchmarks"
# Every kernel of every backend on one thread. Steps and layers at the small shapes only, for
# valgrind fills tables ten times slower.
BACKEND = "(openblas|simd|native|auto)[^/]*/f32"
ONE = "/threads:1/"
KERNELS = "|".join(
    [
        f"^(forward|backward)/{BACKEND}/V1000_B8_T4_D256/((row_sparse|dense)/)?threads:1/",
        f"^forward/{BACKEND}/V50257_B8_T(4|128)_D256{ONE}",
        f"^forward/(native|simd)/(bf16|f16)/V50257_B8_T4_D256{ONE}",
        f"^layernorm/{BACKEND}/V50257_B8_T4_D256{ONE}",
        f"^step/(sgd|adagrad|adamw-lazy)/{BACKEND}/V50257_B8_T4_D256/fused{ONE}",
        f"^rope/{BACKEND}/B8_H12_T1_D64/.*{ONE}",
        f"^(alibi|t5)/{BACKEND}/B1_H1_Q64_K64{ONE}",
    ]
)
TOLERANCE = 0.01
# A few lines more or less are where stack and heap happen to lie.
SLACK = {"instructions": 0, "bytes_read": 256, "bytes_written": 256}
EXACT = ("allocations",)


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


def budgets(file):
    """What a file allows, or nothing where there is none."""
    if not file.exists():
        return {}
    known = reports.load(file)
    if not isinstance(known, dict):
        raise environment.Failure(f"{file} is no file of budgets: expected an object")
    for name, budget in known.items():
        for part in (*EXACT, *SLACK):
            value = budget.get(part) if isinstance(budget, dict) else None
            reports.number(value, f"{file}: {name}: {part}", 0)
    return known


def excess(budget, found):
    """What of a benchmark is over its budget, as words."""
    for part in EXACT:
        if found[part] > budget[part]:
            yield f"{part} {budget[part]} -> {found[part]}"
    for part in SLACK:
        if found[part] > max(budget[part] * (1 + TOLERANCE), budget[part] + SLACK[part]):
            rise = 100 * (found[part] / budget[part] - 1) if budget[part] else float("inf")
            yield f"{part} {budget[part]} -> {found[part]} (+{rise:.1f}%)"


def problems(budgets, counts, is_part):
    for name, found in counts.items():
        if name not in budgets:
            yield name, "no budget"
        else:
            yield from ((name, words) for words in excess(budgets[name], found))
    if not is_part:
        yield from ((name, "gone") for name in budgets if name not in counts)


def text_of(counts):
    """A line a benchmark, so that a change of one is a line of a diff."""
    lines = [f" {json.dumps(name)}: {json.dumps(counts[name])}" for name in sorted(counts)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def print_diff(old, new):
    lines = (text.splitlines(keepends=True) for text in (old.read_text(), new))
    sys.stdout.writelines(difflib.unified_diff(*lines, "budget", "counted"))


def missing(folder, name):
    """No budgets for this key: what to say, and the status."""
    version = name.split("-")[0] + "-" + name.split("-")[1]
    others = sorted(path.name for path in folder.glob(f"{version}-*.json"))
    print(f"no budgets for {name} in {folder}")
    print("to make them, run scripts/bench instructions --accept here and commit the file")
    if os.environ.get("CI") == "true" and others:
        print(f"this toolchain's budgets are for another image: {', '.join(others)}")
        return 2
    return 0


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
        arguments.json.write_text(text_of(counts))
    name = key(context)
    folder = arguments.baselines or arguments.package / "Benchmarks" / "Baselines"
    file = folder / f"{name}.json"
    known = budgets(file)
    wanted = {**known, **counts} if arguments.is_part else counts

    if arguments.accept:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(text_of(wanted))
        print(f"{len(counts)} budgets in {file}")
        return 0
    if not file.exists():
        print(text_of(counts), end="")
        return missing(folder, name)
    found = list(problems(known, counts, arguments.is_part))
    for benchmark, words in found:
        print(f"{benchmark}: {words}")
    over = [name for name in counts if any(name == benchmark for benchmark, _ in found)]
    if over and arguments.base:
        base = revisions.Package(arguments.package, arguments.product).revision(arguments.base)
        print("\n".join([*profiles.markdown(profiles.explain(base.binary, binary, over)), ""]))
    if found:
        print("if that is meant, scripts/bench instructions --accept makes this change:")
        print_diff(file, text_of(wanted))
        return 2
    print(f"{len(counts)} benchmarks within their budgets of {name}")
    return 0


if __name__ == "__main__":
    environment.main(main, "bench instructions")
