"""Runs embed-benchmarks interleaved and prints medians and ratios as a Markdown table.

    scripts/bench ratios 'V50257_B8_T1024_D768/threads:2'

Every repetition runs the selected benchmarks in a new random order, so that drift of the machine
falls on all alike; a ratio is of medians within one such run. `x C loop` compares with the
fastest C loop of the same shape and threads, `of copy` the bytes a second with those of the
streaming copy (`memcpy` where only that was selected). Figures hold only on an idle machine.

What was not measured (failed, skipped, a time of zero or none) is left out, by name on standard error.
Exit status: 0, or 1 for an error or where nothing is left.
"""

import collections
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import environment, reports, revisions

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAME = re.compile(
    r"(?P<kind>[^/]+/)(?P<optimizer>[^/]+/)?(?P<backend>[^/]+)/(?P<work>(?:f32|f16|bf16)/.+?)"
    r"(?:/(?:real|manual|process)_time)?$"
)
C_LOOPS = (
    "forward/c_plain",
    "forward/c_streaming",
    "backward/c_sorted_copy",
    "backward/c_index_add",
    "rope/c_loop",
    "alibi/c_add",
    "t5/c_add",
    "step/c_loop",
)
ORDER = ("default", "auto", "native", "simd", "openblas", "c_", "")
COPIES = ("ceiling/streaming_copy", "ceiling/memcpy")

Measured = collections.namedtuple("Measured", "seconds low high bytes_per_second")


def parse_arguments():
    parser = environment.Parser(__doc__)
    parser.add_argument("filter", help="regular expression over benchmark names")
    parser.add_argument("--repetitions", type=environment.count, default=15, metavar="N")
    parser.add_argument(
        "--min-time", type=environment.positive, default=0.1, metavar="SECONDS",
        help="of one repetition",
    )
    parser.add_argument(
        "--json", type=environment.output, metavar="FILE", help="keep the report here"
    )
    parser.add_argument(
        "--binary", type=pathlib.Path, metavar="FILE", help="run this instead of building"
    )
    parser.add_argument(
        "--read", type=pathlib.Path, metavar="FILE", help="print an earlier report, run nothing"
    )
    return parser.parse_args()


def run(arguments, report):
    subprocess.run(
        [
            str(arguments.binary or revisions.build(ROOT, "embed-benchmarks")),
            f"--benchmark_filter={arguments.filter}",
            f"--benchmark_repetitions={arguments.repetitions}",
            "--benchmark_enable_random_interleaving=true",
            f"--benchmark_min_time={arguments.min_time}",
            f"--benchmark_out={report}",
            "--benchmark_out_format=json",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def measured(report):
    """Work -> kind -> Measured, from what a report measured; names of another form are told."""
    results = collections.defaultdict(dict)
    for name, repetitions in report.measured.items():
        match = NAME.match(name)
        if not match:
            print(f"left out: {name}: not of the form KIND/BACKEND/TYPE/WORK", file=sys.stderr)
            continue
        low, middle, high = quartiles([repetition.wall / 1e9 for repetition in repetitions])
        rate = statistics.median(repetition.bytes_per_second or 0.0 for repetition in repetitions)
        work, kind = (match["optimizer"] or "") + match["work"], match["kind"] + match["backend"]
        if kind in results[work]:
            raise environment.Failure(f"two benchmarks of {kind} at {work}")
        results[work][kind] = Measured(middle, low, high, rate)
    return results


def quartiles(values):
    if len(values) == 1:
        return values[0], values[0], values[0]
    return statistics.quantiles(values, n=4, method="inclusive")


def shown_time(seconds):
    for unit, factor in (("us", 1e6), ("ms", 1e3)):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3f} {unit}"
    return f"{seconds:.3f} s"


def place(kind):
    return next(i for i, start in enumerate(ORDER) if kind.split("/")[1].startswith(start))


def numbers_apart(name):
    """A sort key that takes digits as numbers, so that B8 comes before B16."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def table(results):
    yield "| work | kind | median | quartiles | GB/s | x C loop | of copy |"
    yield "|---|---|---|---|---|---|---|"
    for work, kinds in sorted(results.items(), key=lambda item: numbers_apart(item[0])):
        loop = min((kinds[k].seconds for k in C_LOOPS if k in kinds), default=None)
        copy = next((kinds[k].bytes_per_second for k in COPIES if k in kinds), None)
        for kind, value in sorted(kinds.items(), key=lambda item: (place(item[0]), item[0])):
            ratio = f"{value.seconds / loop:.2f}" if loop else ""
            share = f"{value.bytes_per_second / copy:.2f}" if copy else ""
            spread = f"{shown_time(value.low)} - {shown_time(value.high)}"
            yield (
                f"| {work} | {kind} | {shown_time(value.seconds)} | {spread} "
                f"| {value.bytes_per_second / 1e9:.1f} | {ratio} | {share} |"
            )


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        report = arguments.read or arguments.json or pathlib.Path(folder) / "report.json"
        if not arguments.read:
            run(arguments, report)
        found = reports.read(reports.load(report), report).tell()
    results = measured(found)
    if not results:
        raise environment.Failure(f"{report} has nothing that was measured")
    facts = ("commit", "build", "instruction_set", "openblas_core", "num_cpus", "date")
    print(", ".join(f"{fact} {found.context[fact]}" for fact in facts if fact in found.context))
    print()
    print("\n".join(table(results)))
    return 0


if __name__ == "__main__":
    environment.main(main, "bench ratios")
