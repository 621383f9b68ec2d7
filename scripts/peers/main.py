"""Times other libraries on the same shapes, threads and ids as ours, and writes a table of ratios.

    scripts/bench-peers --output peers.md
    scripts/bench-peers --shape gpt2 --threads 2 --forms embed --json gpt2-2.json
    scripts/bench-peers --read gpt2-1.json --read gpt2-2.json --output peers.md

NumPy, PyTorch (eager and compiled), JAX, ONNX Runtime and MLX come from PyPI, pinned, in an environment
that the first run makes. Before anything is timed, every peer's embeddings must be ours to the bit, and
its gradients to rounding. All are warm, keep to as many processors as threads, and take turns in rounds
of random order; figures are medians over rounds of medians.

Where a peer can write into an output that is there, that form counts; a new output of many megabytes
costs thousands of page faults, which the table tells.
"""

import argparse
import importlib.metadata
import json
import pathlib
import platform
import subprocess
import sys

import peers
import rounds
import table
import workloads

ROOT = pathlib.Path(__file__).resolve().parents[2]
FORMS = {
    "embed": rounds.FORWARD,
    "gradients": (peers.BACKWARD, peers.ROW_SPARSE, peers.STEP),
}


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="bench-peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shape", action="append", choices=workloads.WORKLOADS, help="all by default")
    parser.add_argument("--threads", type=int, action="append", metavar="N", help="1 and 2 by default")
    parser.add_argument("--forms", action="append", choices=FORMS, help="both by default")
    parser.add_argument("--peer", action="append", choices=peers.PEERS, help="all by default")
    parser.add_argument("--rounds", type=int, default=7, metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=0.25, metavar="S", help="a turn (default 0.25)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="keep the figures here")
    parser.add_argument(
        "--read", type=pathlib.Path, action="append", metavar="FILE",
        help="figures of an earlier run, instead of running")
    parser.add_argument(
        "--output", type=pathlib.Path, metavar="FILE", help="the Markdown table; standard output else")
    parser.add_argument(
        "--binaries", type=pathlib.Path, metavar="FOLDER", help="built programs, instead of building")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or not arguments.seconds > 0 or min(arguments.threads or [1]) < 1:
        parser.error("--rounds, --seconds and --threads must be above 0")
    return arguments


def built(arguments):
    folder = arguments.binaries
    if folder is None:
        build = ["swift", "build", "-c", "release", "--package-path", str(ROOT)]
        for product in ("embed-benchmarks", "embedkernel"):
            subprocess.run([*build, "--product", product], check=True, stdout=sys.stderr)
        folder = pathlib.Path(subprocess.run(
            [*build, "--show-bin-path"], check=True, capture_output=True, text=True).stdout.strip())
    return {name: folder / name for name in ("embed-benchmarks", "embedkernel")}


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
    try:
        if arguments.read:
            runs = [json.loads(path.read_text()) for path in arguments.read]
        else:
            runs = [measured(arguments)]
        if arguments.json:
            arguments.json.write_text(json.dumps(runs[0] if len(runs) == 1 else runs, indent=1) + "\n")
        text = table.markdown(runs)
        if arguments.output:
            arguments.output.write_text(text)
        else:
            print(text, end="")
    except rounds.Fault as fault:
        sys.exit(f"bench-peers: {fault}")
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
        sys.exit(f"bench-peers: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
