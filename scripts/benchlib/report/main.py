"""Makes one self-contained HTML page of benchmark results.

    scripts/bench report [--output FILE]
    scripts/bench report --json RUN.json [--json MORE.json] [--compare COMPARE.json] [--output FILE]

Without --json it builds and runs the benchmarks first, all selected ones in random order a
repetition, and keeps their report beside the page. --json takes Google Benchmark's JSON with raw
repetitions, as --benchmark_out writes it; --compare takes what scripts/bench compare --json wrote.
The page needs no network, follows the reader's light or dark theme, and is made for phones too. What
was not measured (failed, skipped, a time of zero or none) is listed with the reason. Exit status: 0, or
1 for an error.
"""

import collections
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

import jinja2
import markupsafe

from benchlib import environment as scripting

import results
import sections

ROOT = pathlib.Path(__file__).resolve().parents[3]
# What the page has drawings for: forward and copies over all shapes but the largest, which take
# minutes, and every other family at GPT-2's shape on one and two threads.
FILTER = (
    r"^((forward|ceiling)/[^/]+/f32/V[0-9]+_B[0-9][0-9]?_T[0-9]+_D[0-9]+/threads:[12]/"
    r"|(backward|layernorm)/(auto|c_)[a-z_]*/f32/V50257_B8_T1024_D768/([a-y_]+/)?threads:[12]/"
    r"|step/(sgd|adamw-lazy)/(auto|c_loop)/f32/V50257_B8_T1024_D768/fused/threads:[12]/)"
)


def parse_arguments():
    parser = scripting.Parser(__doc__)
    parser.add_argument(
        "--json", type=pathlib.Path, action="append", metavar="FILE", help="results to show")
    parser.add_argument("--compare", type=pathlib.Path, metavar="FILE", help="and a comparison")
    parser.add_argument(
        "--output", type=pathlib.Path, default=ROOT / ".build/bench-report.html", metavar="FILE",
        help="the page; .build/bench-report.html by default")
    parser.add_argument("--filter", default=FILTER, metavar="REGEX", help="benchmarks to run")
    parser.add_argument("--repetitions", type=scripting.count, default=9, metavar="N")
    parser.add_argument(
        "--min-time", type=scripting.positive, default=0.02, metavar="SECONDS", help="of one")
    return parser.parse_args()


def run_benchmarks(arguments):
    report = arguments.output.with_suffix(".json")
    report.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            str(ROOT / "scripts/bench"), f"--benchmark_filter={arguments.filter}",
            f"--benchmark_repetitions={arguments.repetitions}",
            "--benchmark_enable_random_interleaving=true",
            f"--benchmark_min_time={arguments.min_time}", f"--benchmark_out={report}",
            "--benchmark_out_format=json",
        ],
        check=True, stdout=subprocess.DEVNULL)
    return [report]


def tally(comparison):
    counts = collections.Counter(row.verdict for row in comparison["rows"])
    named = [f"{counts[verdict]} {verdict}" for verdict in results.VERDICTS if counts[verdict]]
    return ", ".join(named) or "no benchmark in common"


def short(revision):
    """A commit's name as far as it tells it apart; other names as they are."""
    return re.sub(r"^([0-9a-f]{12})[0-9a-f]{28}(-dirty)?$", r"\1\2", revision)


def templates():
    """The pages' templates; what they are filled with is text and not markup."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(pathlib.Path(__file__).with_name("templates")),
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    # Long names break where their parts meet.
    environment.filters["broken"] = lambda name: markupsafe.Markup("/<wbr>").join(
        markupsafe.Markup("_<wbr>").join(part.split("_")) for part in name.split("/"))
    return environment


def render(report, comparison):
    context = report.context
    facts = [str(context[key]) for key in ("commit", "build", "date") if key in context]
    count = max(len(result.seconds) for result in report.results)
    facts.append(f"{sections.plural(count, 'repetition')}")
    rows = []
    if comparison:
        rows = sections.comparison_rows(comparison)
        comparison = dict(
            comparison, base=short(comparison["base"]), head=short(comparison["head"]))
    return templates().get_template("page.html").render(
        title="EmbedKernel benchmarks", subtitle=", ".join(facts),
        sections=sections.sections(report), results=sections.all_results(report),
        failures=report.failures, facts=sections.facts(context), comparison=comparison,
        comparison_rows=rows, tally=tally(comparison) if comparison else "")


def main():
    arguments = parse_arguments()
    # Read before the benchmarks run, which takes minutes.
    comparison = results.read_comparison(arguments.compare) if arguments.compare else None
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    report = results.read_report(arguments.json or run_benchmarks(arguments))
    arguments.output.write_text(render(report, comparison), encoding="utf-8")
    print(arguments.output)
    return 0


if __name__ == "__main__":
    scripting.main(main, "bench report")
