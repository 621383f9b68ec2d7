"""Turns a report of the benchmarks into what services that keep their history read.

    scripts/bench --benchmark_repetitions=9 --benchmark_out=report.json --benchmark_out_format=json
    scripts/bench convert report.json --to bmf > bmf.json
    scripts/bench convert report.json --to medians > medians.json

The report itself is Google Benchmark's own JSON with every repetition: its compare.py and Bencher's
`cpp_google` adapter read it as it is.

    bmf      Bencher's metric format, for `bencher run --adapter json --file bmf.json`: each benchmark's
             `latency` in nanoseconds, the median with the quartiles as lower and upper values, and
             `throughput` in calls a second
    medians  Google Benchmark's JSON with one entry a benchmark, the repetition nearest to the median,
             under the name alone: for github-action-benchmark's `tool: googlecpp`, which would take
             repetitions and aggregates for benchmarks of their own

Times are of the clock that the benchmark was registered with. What was not measured is left out, by
name and with the reason on standard error: failed or skipped benchmarks, times of zero, NaN or infinity,
aggregates alone. A counter that is no number is left out of its entry likewise. Standard output is JSON
as every reader takes it, whole or not at all.

Exit status: 0, or 1 if the file is no report, has nothing to convert, or an argument is wrong.
"""

import math
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import environment, reports


def bmf(report):
    result = {}
    for name, times in report.times.items():
        if len(times) > 1:
            low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
        else:
            low = middle = high = times[0]
        result[name] = {
            "latency": {"value": middle, "lower_value": low, "upper_value": high},
            "throughput": {
                "value": 1e9 / middle,
                "lower_value": 1e9 / high,
                "upper_value": 1e9 / low,
            },
        }
    return result


def medians(report):
    chosen = []
    for name, found in report.measured.items():
        middle = statistics.median(repetition.nanoseconds for repetition in found)
        nearest = min(found, key=lambda repetition: abs(repetition.nanoseconds - middle))
        chosen.append({**finite(nearest.entry, name, report), "name": name})
    return {"context": finite(report.context, "context", report), "benchmarks": chosen}


def finite(value, place, report):
    """The same without members that are no finite number, each of which is told."""
    if isinstance(value, dict):
        kept = {key: finite(part, f"{place}: {key}", report) for key, part in value.items()}
        return {key: part for key, part in kept.items() if part is not None or value[key] is None}
    if isinstance(value, list):
        return [finite(part, place, report) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        report.left_out[place] = f"is {value}"
        return None
    return value


def main():
    parser = environment.Parser(__doc__)
    parser.add_argument("report", type=pathlib.Path, metavar="REPORT")
    parser.add_argument("--to", choices=("bmf", "medians"), required=True)
    arguments = parser.parse_args()
    report = reports.read(reports.load(arguments.report), arguments.report)
    if not report.measured:
        report.tell()
        raise environment.Failure(f"{arguments.report} has no measured benchmark")
    text = reports.text({"bmf": bmf, "medians": medians}[arguments.to](report))
    report.tell()
    print(text, end="")
    return 0


if __name__ == "__main__":
    environment.main(main, "bench convert")
