"""Shows what `embedkernel tune` gained: times the benchmarks that a tuning touches with it and without.

    embedkernel tune --output tuning.json
    scripts/bench tuned tuning.json

One program, in pairs of processes that run in turns on the same processors: one has EMBEDKERNEL_TUNING=off, the
other the file. What is sure, and how it is told, is as `scripts/bench compare` has it; `faster` is a gain of the
tuning, `slower` a loss, and `same` within --least of what is built in. A file that the library does not take, say
of another machine, is an error.

Exit status: 0 where nothing is slower, 2 where something is, 1 an error.
"""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import environment
from commands import compare

# Calls of `auto` below and above each limit of a tuning, and updates of rows.
TOUCHED = (
    "^((forward/(auto|default)/f32/V50257_B8_(T4_D256|T32_D256|T128_D256|T512_D256|T1024_D(64|256|768|1024)))"
    "|((backward|step/(sgd|adamw-lazy))/auto/f32/V50257_B8_T1024_D768(/row_sparse|/dense)?(/fused)?)"
    ")/threads:2/"
)


def parse_arguments():
    parser = environment.Parser(__doc__)
    parser.add_argument("tuning", type=pathlib.Path, metavar="FILE", help="that `embedkernel tune` saved")
    parser.add_argument(
        "--binary", type=pathlib.Path, metavar="FILE", help="run this instead of building")
    parser.add_argument("--json", type=environment.output, metavar="FILE", help="write the report here")
    compare.add_options(parser)
    # What a change of code may hide in is no measure of what it gains.
    parser.set_defaults(filter=TOUCHED, least=0.02)
    return compare.parsed(parser)


def main():
    arguments = parse_arguments()
    environment.enter()
    from benchlib import comparison, reports, revisions, verdicts

    path = arguments.tuning.resolve()
    try:
        json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise environment.Failure(f"{path}: {error}") from None
    command = revisions.build(compare.ROOT, "embedkernel")
    from benchlib import processes

    told = processes.execute([command, "info"], env={**os.environ, "EMBEDKERNEL_TUNING": str(path)})
    if f"measured on this machine, '{path}'" not in told:
        line = next((line for line in told.splitlines() if line.startswith("Tuning:")), "nothing")
        raise environment.Failure(f"the tuning is not taken; embedkernel info says: {line}")
    binary = arguments.binary or revisions.build(compare.ROOT, compare.PRODUCT)
    plan, context = comparison.prepare(
        binary, binary, arguments.filter, compare.options(arguments, EMBEDKERNEL_TUNING=str(path)))
    rows = comparison.compare(plan)
    if arguments.json:
        arguments.json.write_text(reports.text(comparison.report(plan, context, "built in", "tuned", rows)))
    text = "\n".join([f"base built in, head {path.name}, seed {arguments.seed}", "", *comparison.table(rows), ""])
    if arguments.markdown:
        arguments.markdown.write_text(text)
    print(text, end="")
    return 2 if any(row["verdict"] == verdicts.SLOWER for row in rows) else 0


if __name__ == "__main__":
    environment.main(main, "bench tuned")
