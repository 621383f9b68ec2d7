#!/usr/bin/env python3
"""Holds rotary settings from `config.json` to transformers: over every model type there with a rotary
embedding, the angles, cosines, sines and pairs that the library's own modules give, against those of
`embedkernel positions rotary --config` and `embedkernel rotate --config`.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures.txt
    swift build --product embedkernel
    .venv/bin/python scripts/reference/sweep_rotary.py .build/debug/embedkernel

Each type is tried with its default configuration, in full and with fields left out, and with variants:
each scheme under the older and the newer names, partial factors, other head dims, each layer type, a
sequence past the trained length. A comparison is equal, refused by name (an error of ours), or wrong;
wrong must be 0. What transformers itself can't do is not compared. `--write FILE` keeps a part of the
comparisons as the tests' fixture.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

from rotary_sweep.models import configuration, layers, types
from rotary_sweep.reference import applied, layout, reference
from rotary_sweep.variants import variants

# What goes into the fixture besides each type's own defaults.
KEPT = {
    "deepseek_v3", "deepseek_v4", "dots3_note_text", "gemma3_text", "gemma4_text", "glm", "gpt_oss",
    "hunyuan_v1_dense", "lfm3", "llama", "modernbert", "neomme", "olmo3", "phi", "phimoe", "qwen3",
    "qwen3_next", "step3p5", "voxtral", "voxtral_realtime",
}  # fmt: skip
KEPT_VARIANTS = {
    "old yarn", "old dynamic", "old llama3 equal", "nested linear", "alpha", "mscale",
    "partial beside", "head_dim 96", "local base", "global base", "part",
    "old linear alone", "nested linear by type",
}  # fmt: skip


class Ours:
    def __init__(self, command):
        self.command = command
        self.folder = tempfile.mkdtemp()
        self.count = 0

    def run(self, *arguments):
        return subprocess.run(
            [self.command, *arguments], capture_output=True, text=True, timeout=60
        )

    def rows(self, path, layer, position):
        output = f"{path}.{position}.{layer}.npy"
        extra = ["--layer-type", layer] if layer else []
        result = self.run(
            "positions", "rotary", "--config", path, *extra, "--context", "1",
            "--position-offset", str(position), "--output", output,
        )  # fmt: skip
        if result.returncode != 0:
            return result.returncode, result.stderr.strip().splitlines()[-1:]
        values = np.load(output)
        os.unlink(output)
        return values[:, 0]

    def rotated(self, path, layer, x):
        np.save(f"{path}.q.npy", x)
        extra = ["--layer-type", layer] if layer else []
        result = self.run(
            "rotate", "--config", path, *extra, "--input", f"{path}.q.npy", "--output",
            f"{path}.out.npy",
        )  # fmt: skip
        if result.returncode != 0:
            return result.returncode, result.stderr.strip().splitlines()[-1:]
        return np.load(f"{path}.out.npy")


POSITIONS = (7, 99)


def compare(ours, kind, name, fields, fixture):
    """Comparisons of one configuration: (equal, refused or wrong, details)."""
    config = configuration(kind, fields)
    if config is None:
        return
    path = f"{ours.folder}/{kind.name}.{name.replace(' ', '_')}.json"
    with open(path, "w") as file:
        json.dump(fields, file)
    for layer in layers(config):
        # Of most schemes the angles don't depend on the length.
        lengths = re.search("dynamic|longrope|^mscale|alpha", name)
        for position in POSITIONS if lengths else POSITIONS[:1]:
            right = reference(kind, fields, layer, position)
            if right is None:
                continue
            label = f"{name}{f', {layer}' if layer else ''}, position {position}"
            got = ours.rows(path, layer, position)
            if isinstance(got, tuple):
                yield ("refused" if got[0] == 1 else "wrong"), label, got[1]
                continue
            inverse, cosines, sines = (np.asarray(v, dtype=np.float64) for v in right)
            scale = max(1.0, np.abs(cosines).max())
            if got.shape[1] != len(inverse):
                yield "wrong", label, f"{got.shape[1]} pairs, right {len(inverse)}"
                continue
            angle = np.abs(got[0] - position * inverse) / np.maximum(position * np.abs(inverse), 1e-30)
            angle = angle[inverse != 0].max(initial=0)
            # Transformers' cosines are of an angle in float32.
            bound = 2e-5 * scale
            distance = max(np.abs(got[1] - cosines).max(), np.abs(got[2] - sines).max())
            if angle > 3e-5 or distance > bound:
                yield "wrong", label, f"angles differ by {angle:.2g}, cosines and sines {distance:.2g}"
                continue
            fixture(kind, name, fields, layer, position, inverse, cosines, sines)
            yield "equal", label, None
    if name not in ("full", "sparse"):
        return
    for layer in layers(config)[:1]:
        right = reference(kind, fields, layer, 1)
        if right is None:
            continue
        generator = torch.Generator().manual_seed(1)
        dim = 2 * len(right[0])
        width = getattr(config, "head_dim", None)
        if width is None and hasattr(config, "num_attention_heads"):
            width = config.hidden_size // config.num_attention_heads
        if hasattr(config, "qk_rope_head_dim"):
            # The part that is turned, by itself.
            width = dim
        width = width if isinstance(width, int) and width > dim else dim
        x = torch.rand(1, 1, 3, width, generator=generator)
        try:
            outcome = applied(kind, fields, layer, x)
        except Exception:
            # Attention itself passes on what is past the rotated elements.
            try:
                y, permuted = applied(kind, fields, layer, x[..., :dim])
                outcome = torch.cat([y, x[..., dim:]], dim=-1), permuted
            except Exception:
                outcome = None
        if outcome is None:
            continue
        expected, permuted = outcome
        got = ours.rotated(path, layer, x.numpy())
        if isinstance(got, tuple):
            yield ("refused" if got[0] == 1 else "wrong"), f"{name}, rotate", got[1]
            continue
        if permuted:
            got = np.concatenate([got[..., 0::2], got[..., 1::2]], axis=-1)
        distance = np.abs(got - expected.detach().numpy()).max()
        yield ("equal" if distance < 1e-5 else "wrong"), f"{name}, rotate", f"{distance:.2g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("command")
    parser.add_argument("--types", help="only these, separated by commas")
    parser.add_argument("--write", help="the tests' fixture")
    parser.add_argument("--all", action="store_true", help="name every refusal")
    options = parser.parse_args()
    ours = Ours(options.command)
    totals = collections.Counter()
    kept = []

    def fixture(kind, name, fields, layer, position, inverse, cosines, sines):
        if not options.write or position != POSITIONS[0]:
            return
        if name != "sparse" and not (kind.name in KEPT and name in KEPT_VARIANTS):
            return
        kept.append(
            {
                "name": f"{kind.name}, {name}",
                "config": json.dumps(fields, separators=(",", ":")),
                "layerType": layer,
                "pairs": len(inverse),
                "second": float(f"{inverse[min(1, len(inverse) - 1)]:.6g}"),
                "last": float(f"{inverse[-1]:.6g}"),
                "cosine": float(f"{cosines[0]:.6g}"),
                "sine": float(f"{sines[-1]:.6g}"),
                "layout": layout(kind, fields, layer, len(inverse)),
            }
        )

    kinds = [k for k in types() if not options.types or k.name in options.types.split(",")]
    seen = set()
    kinds = [k for k in kinds if not (k.name in seen or seen.add(k.name))]

    def work(kind):
        lines = []
        for name, fields in variants(kind):
            lines += list(compare(ours, kind, name, fields, fixture))
        return kind, lines

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for kind, lines in pool.map(work, kinds):
            counts = collections.Counter(line[0] for line in lines)
            totals.update(counts)
            print(
                f"{kind.name:40} equal {counts['equal']:3}  refused {counts['refused']:3}"
                f"  wrong {counts['wrong']:3}"
            )
            for verdict, label, detail in lines:
                if verdict == "wrong" or verdict == "refused" and options.all:
                    print(f"    {verdict}: {label}: {detail}")
    print(
        f"{len(kinds)} model types, {sum(totals.values())} comparisons: equal {totals['equal']},"
        f" refused by name {totals['refused']}, wrong {totals['wrong']}"
    )
    if options.write:
        with open(options.write, "w") as file:
            kept.sort(key=lambda case: (case["name"], case["layerType"] or ""))
            cases = ",\n".join(json.dumps(case, separators=(",", ":")) for case in kept)
            made_by = json.dumps(f"transformers {transformers.__version__}")
            file.write(f'{{"madeBy": {made_by}, "cases": [\n{cases}\n]}}\n')
    sys.exit(totals["wrong"] > 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
