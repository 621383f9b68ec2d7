"""What positions buy, on Shakespeare's plays: a small GPT trained with each kind, three seeds each.

    scripts/experiment-positions
    scripts/experiment-positions --quick --output /tmp/quick
    scripts/experiment-positions --text FILE --seeds 5

Trains with no positions, learned, sinusoidal, RoPE, ALiBi and T5's; evaluates at the trained length and
beyond; asks whether the order of words reaches the output; and compares the learned table before and
after training. Writes into the folder:

    summary.md                     tables and what they say, computed from the figures
    results.csv, positions.csv     losses by length, and by position
    length.png, positions.png      loss against length, and against position
    curves.png                     loss while training
    similarity.png, spectrum.png   the learned table, before and after
    runs/                          the models, and what each command said

Finished runs are kept: called again, it goes on where it was ended. It takes some 20 minutes on two
cores; two runs of one thread go at a time. Exit status: 0, or 1 for an error.
"""

import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

from benchlib import environment  # noqa: E402

import plots  # noqa: E402
import results  # noqa: E402
import runs  # noqa: E402
import settings  # noqa: E402
import summary  # noqa: E402


def parse_arguments():
    parser = environment.Parser(__doc__)
    parser.add_argument(
        "--output", type=pathlib.Path, metavar="FOLDER", default=None,
        help="where results go (default: .build/experiments/positions; with --quick, "
        ".build/experiments/positions-quick)")
    parser.add_argument(
        "--text", type=pathlib.Path, metavar="FILE",
        help="what to train on (default: Shakespeare's plays, as scripts/setup-data fetches them)")
    parser.add_argument(
        "--seeds", type=environment.count, metavar="N", help="runs of each kind (default: 3; with --quick, 1)")
    parser.add_argument(
        "--jobs", type=environment.count, metavar="N", default=2, help="runs at a time, of one thread each "
        "(default 2)")
    parser.add_argument("--quick", action="store_true", help="tiny models: shows that it works")
    parser.add_argument("--fresh", action="store_true", help="run again what is finished")
    parser.add_argument(
        "--command", type=pathlib.Path, metavar="FILE",
        help="a built embedkernel, instead of building it")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    chosen = settings.QUICK if arguments.quick else settings.FULL
    if arguments.seeds:
        chosen = chosen.with_seeds(arguments.seeds)
    name = "positions-quick" if arguments.quick else "positions"
    folder = arguments.output or ROOT / ".build" / "experiments" / name
    folder.mkdir(parents=True, exist_ok=True)
    text = settings.text(arguments.text)
    command = arguments.command or runs.built()
    record = runs.Runs(command, chosen, text, folder, arguments.jobs, arguments.fresh).run()
    try:
        found = results.Results(record, chosen, folder)
    except (KeyError, ValueError, struct.error) as error:
        raise environment.Failure(
            f"a finished run in {folder} cannot be read: {error!r}; --fresh makes all again") from None
    found.write()
    plots.draw(found)
    page = summary.markdown(found)
    (folder / "summary.md").write_text(page)
    print(page)
    print(f"written to {folder}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    environment.main(main, "experiment-positions")
