"""Times other libraries on the same shapes, threads and ids as ours, and writes a table of ratios.

    scripts/bench peers --output peers.md
    scripts/bench peers --shape gpt2 --threads 2 --forms embed --json gpt2-2.json
    scripts/bench peers --read gpt2-1.json --read gpt2-2.json --output peers.md

NumPy, PyTorch (eager and compiled), JAX, ONNX Runtime and MLX come from PyPI, pinned, in an environment
that the first run makes. Before anything is timed, every peer's embeddings must be ours to the bit, and
its gradients to rounding. All are warm, keep to as many processors as threads, and take turns in rounds
of random order; figures are medians over rounds of medians.

Where a peer can write into an output that is there, that form counts; a new output of many megabytes
costs thousands of page faults, which the table tells. Exit status: 0, or 1 for an error.
"""

import importlib.metadata
import pathlib
import platform
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import environment, reports, revisions

import peers
import rounds
import table
import workloads

ROOT = pathlib.Path(__file__).resolve().parents[3]
FORMS = {
    "embed": rounds.FORWARD,
    "gradients": (peers.BACKWARD, peers.ROW_SPARSE, peers.STEP),
}


def parse_arguments():
    parser = environment.Parser(__doc__)
    parser.add_argument(
        "--shape", action="append", choices=workloads.WORKLOADS, help="all by default")
    parser.add_argument("--threads", type=environment.count, action="append", metavar="N", help="1 and 2 by default")
    parser.add_argument("--forms", action="append", choices=FORMS, help="both by default")
    parser.add_argument("--peer", action="append", choices=peers.PEERS, help="all by default")
    parser.add_argument("--rounds", type=environment.count, default=7, metavar="N")
    parser.add_argument(
        "--seconds", type=environment.positive, default=0.25, metavar="S", help="a turn (default 0.25)")
    parser.add_argument("--json", type=environment.output, metavar="FILE", help="keep the figures here")
    parser.add_argument(
        "--read", type=pathlib.Path, action="append", metavar="FILE",
        help="figures of an earlier run, instead of running")
    parser.add_argument(
        "--output", type=environment.output, metavar="FILE", help="the Markdown table; standard output else")
    parser.add_argument(
        "--binaries", type=pathlib.Path, metavar="FOLDER", help="built programs, instead of building")
    return parser.parse_args()


def built(arguments):
    names = ("embed-benchmarks", "embedkernel")
    if arguments.binaries is not None:
        return {name: arguments.binaries / name for name in names}
    return {name: revisions.build(ROOT, name) for name in names}


def processor():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def measured(arguments):
    tools = built(arguments)
    records = []
    for name in arguments.shape or workloads.WORKLOADS:
        for threads in arguments.threads or (1, 2):
            for group in arguments.forms or FORMS:
                forms = FORMS[group]
                if name == "large" and group == "gradients":
                    # Its step is not among our benchmarks.
                    forms = tuple(form for form in forms if form != peers.STEP)
                records.append(rounds.measure(
                    name, threads, forms, arguments.rounds, arguments.seconds, tools, arguments.peer))
    versions = {}
    for peer, package in peers.PACKAGES.items():
        try:
            versions[peer] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return {
        "cpu": processor(), "python": platform.python_version(), "versions": versions,
        "rounds": arguments.rounds, "records": records,
    }


def main():
    arguments = parse_arguments()
    if arguments.read:
        runs = [run for path in arguments.read for run in table.read(path)]
    else:
        runs = [measured(arguments)]
    if arguments.json:
        arguments.json.write_text(reports.text(runs[0] if len(runs) == 1 else runs))
    text = table.markdown(runs)
    if arguments.output:
        arguments.output.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    environment.main(main, "bench peers")
