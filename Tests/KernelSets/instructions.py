"""Holds the instructions that kernels took to those that are written down beside this file.

    instructions.py yes|no COMPILER FOLDER

FOLDER holds `SET.txt`, a line a kernel that begins with its name, and `SET.counts`, a line a kernel with
the instructions of the plain set and of SET. `yes` writes them down. Other compilers make other code, so
their counts are only shown."""

import json
import pathlib
import sys

SETS = ["neon", "neon_bf16"]
# Code of the C library between the marks, and its moods.
TOLERANCE = 0.01

accept, compiler, folder = sys.argv[1] == "yes", sys.argv[2], pathlib.Path(sys.argv[3])
baseline = pathlib.Path(__file__).with_suffix(".json")
found: dict = {"compiler": compiler, "kernels": {}}
for kind in SETS:
    names = [line.split()[0] for line in (folder / f"{kind}.txt").read_text().splitlines()]
    counts = [line.split() for line in (folder / f"{kind}.counts").read_text().splitlines()]
    if not names or len(names) != len(counts):
        sys.exit(f"check-neon: {len(counts)} counts of {len(names)} kernels of {kind}")
    for name, (plain, own) in zip(names, counts):
        if int(own) == 0:
            sys.exit(f"check-neon: {name} of {kind} took no instruction")
        kernel = found["kernels"].setdefault(name, {"plain": int(plain)})
        kernel[kind] = int(own)

for name, kernel in found["kernels"].items():
    shares = "  ".join(f"{kind} {kernel[kind] / kernel['plain']:6.3f}" for kind in SETS)
    print(f"{name:24} {kernel['plain']:>12,} instructions of plain; of them: {shares}")
if accept:
    baseline.write_text(json.dumps(found, indent=1) + "\n")
    print(f"check-neon: wrote {baseline.name}")
    sys.exit()

expected = json.loads(baseline.read_text())
if expected["compiler"] != compiler:
    print(f"check-neon: not held to counts of another compiler, {expected['compiler']}")
    sys.exit()
wrong = []
for name, kernel in found["kernels"].items():
    known = expected["kernels"].get(name, {})
    for kind in SETS:
        before = known.get(kind)
        if before is None or abs(kernel[kind] - before) > TOLERANCE * before:
            wrong.append(f"{name} of {kind}: {kernel[kind]:,} instructions, {before} were written down")
if wrong:
    print("\n".join(wrong), file=sys.stderr)
    sys.exit("check-neon: accept them by scripts/check-neon --accept, if they are right")
print("check-neon: instructions as written down")
