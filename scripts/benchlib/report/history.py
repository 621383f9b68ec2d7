"""Keeps the results of many commits, and shows where benchmarks became slower or faster.

    scripts/bench --benchmark_repetitions=9 --benchmark_out=run.json --benchmark_out_format=json
    scripts/bench history add run.json --file history.jsonl       a line a run
    scripts/bench history add run.json --branch benchmarks        in a file on a branch of its own
    scripts/bench history add counts.json --commit C --file history.jsonl     of bench instructions --json
    scripts/bench history add --budgets FILE --file history.jsonl    all that a file of budgets has held
    scripts/bench history show --branch benchmarks                the changes, as a table
    scripts/bench history show --file history.jsonl --page history.html

The file is append-only JSON lines, each with commit, date, subject, machine, and each benchmark's median
and quartiles. The branch needs no work tree, and is made when it is not there: share it by `git push origin
benchmarks`. The commit is the report's own unless --commit names it; one with changes is refused.

Instructions are a history too, without noise and without a machine: a line a commit that changed a file of
budgets, or whose counts are given; each difference of 1% is a change, with no commits after it.

Changes of times are found by optimal segmentation (ruptures) of the logarithms of the times of one machine, and
need three commits after them. On made-up histories of 80 commits with 1.5% noise and 5% of runs
disturbed by up to 20%, it raises a false alarm in 1 of 7 such histories, and finds 98% of slowdowns by 5% and
82% of those by 3% within two commits. The page has a chart a benchmark, with commits on hover and changes
marked; it needs no network.

Exit status: 0, or 1 for an error.
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import environment as scripting, history

import charts
from axes import Axis, labelled, round_ticks, shown_time
from main import short, templates
from sections import plural

# Labels of commits below a chart.
LABELS = 4


def parse_arguments():
    parser = scripting.Parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="add|show")
    add, show = (commands.add_parser(name, help=text) for name, text in (
        ("add", "append reports of Google Benchmark"), ("show", "tell the changes")))
    add.add_argument("reports", type=pathlib.Path, nargs="*", metavar="REPORT")
    add.add_argument("--budgets", type=pathlib.Path, metavar="FILE", help="of instructions, by git's log of it")
    add.add_argument("--commit", metavar="COMMIT", help="what was measured; the report's own otherwise")
    show.add_argument("--page", type=scripting.output, metavar="FILE", help="a page with charts")
    show.add_argument("--filter", default=".", metavar="REGEX", help="benchmarks by name")
    for command in (add, show):
        place = command.add_mutually_exclusive_group(required=True)
        place.add_argument("--file", type=pathlib.Path, metavar="FILE", help="the history, as JSON lines")
        place.add_argument("--branch", metavar="NAME", help=f"the same, in {history.FILE} on a branch")
        command.add_argument(
            "--package", type=pathlib.Path, default=pathlib.Path("."), metavar="FOLDER",
            help="its repository; the current folder's by default")
    return parser.parse_args()


def chart(name, points, changes):
    """One benchmark over its commits."""
    is_time = points[0].unit == "ns"
    values = [point.value / (1e9 if is_time else 1) for point in points]
    room = max((max(values) - min(values)) * 0.1, 0.02 * max(values))
    x_axis = Axis(0, max(len(points) - 1, 1), charts.LEFT + 10, charts.WIDTH - charts.RIGHT - 10, False)
    y_axis = Axis(
        max(min(values) - room, 0), max(values) + room, charts.HEIGHT - charts.BOTTOM, charts.TOP, False)
    ticks = sorted({round(part * (len(points) - 1) / (LABELS - 1)) for part in range(LABELS)})
    drawn = [
        (x_axis(index), y_axis(value),
         f"{point.commit[:12]} {point.subject}: {shown(point.value, point.unit)}, {point.date[:10]}")
        for index, (point, value) in enumerate(zip(points, values))
    ]
    markers = [(x_axis(change.index - 0.5), told(change)) for change in changes]
    return charts.Chart(
        name, "time of an iteration" if is_time else "instructions of a call", "commits",
        charts.inside(labelled(x_axis, ticks, lambda index: points[int(index)].commit[:7])),
        # Microseconds and the like are in the ticks, and have to fit beside the axis.
        labelled(y_axis, round_ticks(y_axis), shown_time_short if is_time else shown_count, upright=True),
        [charts.Series("native", drawn)], markers, "; ".join(map(told, changes)))


def shown_time_short(seconds):
    return shown_time(seconds).replace(" ", "")


def shown_count(count):
    for factor, letter in ((1e-9, "G"), (1e-6, "M"), (1e-3, "k")):
        if count * factor >= 1:
            return f"{count * factor:.4g}{letter}"
    return f"{count:.4g}"


def shown(value, unit):
    return shown_time(value / 1e9) if unit == "ns" else f"{value:,.0f}"


def word(change):
    """What became of it, for better or worse."""
    words = ("slower", "faster") if change.point.unit == "ns" else ("more instructions", "fewer instructions")
    return words[change.ratio < 1]


def told(change):
    before, after = (shown(value, change.point.unit) for value in (change.before, change.after))
    verb = "is" if change.point.unit == "ns" else "has"
    return f"{change.point.commit[:12]} {verb} {abs(change.ratio - 1):.1%} {word(change)}: {before} to {after}"


def rows(found):
    """(machine, benchmark, change), the latest first."""
    made = [
        (machine, name, change) for machine, names in found.items()
        for name, (_, changes) in names.items() for change in changes
    ]
    return sorted(made, key=lambda row: history.instant(row[2].point.date), reverse=True)


def table(made):
    yield "| commit | date | benchmark | before | after | change |"
    yield "|---|---|---|---:|---:|---:|"
    for _, name, change in made:
        subject = change.point.subject.replace("|", "\\|")
        yield (f"| {change.point.commit[:12]} {subject} | {change.point.date[:10]} | {name} "
               f"| {shown(change.before, change.point.unit)} | {shown(change.after, change.point.unit)} "
               f"| {100 * (change.ratio - 1):+.1f}% |")


def render(found, store):
    made = rows(found)
    drawn = {
        machine: [chart(name, points, changes) for name, (points, changes) in names.items()]
        for machine, names in found.items()
    }
    commits = {point.commit for names in found.values() for points, _ in names.values() for point in points}
    return templates().get_template("history.html").render(
        title="EmbedKernel benchmarks by commit", store=str(store), commits=len(commits), machines=drawn,
        changes=[{
            "kind": "slower" if change.ratio > 1 else "faster", "word": word(change), "name": name,
            "machine": machine,
            "commit": short(change.point.commit), "subject": change.point.subject,
            "date": change.point.date[:10], "change": f"{100 * (change.ratio - 1):+.1f}%",
            "before": shown(change.before, change.point.unit), "after": shown(change.after, change.point.unit),
        } for machine, name, change in made])


def show(arguments, store):
    try:
        pattern = re.compile(arguments.filter)
    except re.error as error:
        raise scripting.Failure(f"--filter {arguments.filter}: {error}") from None
    runs = store.runs()
    found = {
        machine: {name: (points, history.changes(points))
                  for name, points in names.items() if pattern.search(name)}
        for machine, names in history.series(runs).items()
    }
    found = {machine: names for machine, names in found.items() if names}
    if not found:
        raise scripting.Failure(f"{store} has no run of a benchmark that matches '{arguments.filter}'")
    made = rows(found)
    if made:
        print("\n".join(table(made)))
    else:
        count = sum(len(names) for names in found.values())
        print(f"no change in {count} series of {len(runs)} runs")
    if arguments.page:
        arguments.page.write_text(render(found, store), encoding="utf-8")
        print(arguments.page)
    return 0


def main():
    arguments = parse_arguments()
    store = history.Store(arguments.package, arguments.file, arguments.branch)
    if arguments.command == "show":
        return show(arguments, store)
    if not arguments.reports and not arguments.budgets:
        raise scripting.Failure("nothing to add: name reports, or a file of budgets by --budgets")
    runs = [history.run(path, arguments.package, arguments.commit) for path in arguments.reports]
    if arguments.budgets:
        runs += history.budgets(arguments.budgets, arguments.package)
    store.append(runs)
    print(f"{plural(len(runs), 'run')} added to {store}")
    return 0


if __name__ == "__main__":
    scripting.main(main, "bench history")
