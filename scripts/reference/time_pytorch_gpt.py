#!/usr/bin/env python3
"""Times a GPT's training step in PyTorch beside this library's, step by step in turns.

    python3 scripts/reference/time_pytorch_gpt.py --shape blocks --threads 2 --rounds 5

A step is forward, backward, clipping and AdamW, on a batch of 8 sequences of 256 tokens, or 4 of 1,024. Both start from
the parameters that ours wrote and train on the same batch, and the first losses must agree to 1e-4, or
the status is 1. Shapes: `blocks` (6 layers, dim 384, bytes, tied), `long` (the same at 4 x 1,024), `bytes`
and `words` (4 layers, dim 256, untied, vocabulary 256 and 50257). `peak` is the most memory of each
side's process; with one --shape it is that shape's. Needs the torch and safetensors of fixtures.txt and a release
build of embed-benchmarks, or --binary. Figures hold only on an idle machine.

PyTorch's form is its quickest in eager mode: linear layers that hold [out, in], attention by
scaled_dot_product_attention with is_causal, fused AdamW, gradients set to none. `--compiled` compiles
forward and loss, too.
"""

import argparse
import contextlib
import pathlib
import resource
import statistics
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from benchlib import processes, reports  # noqa: E402  (of the folder that was just added)

# batch, context, then vocabulary, dim, layers, heads, head
SHAPES = {
    "blocks": (8, 256, 256, 384, 6, 6, "tied"),
    "long": (4, 1_024, 256, 384, 6, 6, "tied"),
    "bytes": (8, 256, 256, 256, 4, 4, "untied"),
    "words": (8, 256, 50_257, 256, 4, 4, "untied"),
}
RATE, BETAS, EPSILON, DECAY, CLIP = 1e-4, (0.9, 0.95), 1e-8, 0.1, 1.0
# Steps that only warm up, with allocation and first calls; their losses are compared.
WARM = 2
# Both sides' threads spin for some milliseconds after their last work.
PAUSE = 0.1
TOLERANCE = 1e-4


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, action="append", help="all if not given")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compiled", action="store_true", help="torch.compile as a third side")
    parser.add_argument("--binary", type=pathlib.Path)
    return parser.parse_args()


class Block(torch.nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.ln_1 = torch.nn.LayerNorm(dim)
        self.c_attn = torch.nn.Linear(dim, 3 * dim)
        self.c_proj = torch.nn.Linear(dim, dim)
        self.ln_2 = torch.nn.LayerNorm(dim)
        self.c_fc = torch.nn.Linear(dim, 4 * dim)
        self.mlp_c_proj = torch.nn.Linear(4 * dim, dim)

    def forward(self, x):
        batch, context, dim = x.shape
        projected = self.c_attn(self.ln_1(x)).view(batch, context, 3, self.heads, -1)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.c_proj(mixed.transpose(1, 2).reshape(batch, context, dim))
        inner = F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh")
        return x + self.mlp_c_proj(inner)


class GPT(torch.nn.Module):
    def __init__(self, context, vocabulary, dim, layers, heads, head):
        super().__init__()
        self.wte = torch.nn.Embedding(vocabulary, dim)
        self.wpe = torch.nn.Parameter(torch.empty(context, dim))
        self.h = torch.nn.ModuleList(Block(dim, heads) for _ in range(layers))
        self.ln_f = torch.nn.LayerNorm(dim)
        self.lm_head = torch.nn.Linear(dim, vocabulary, bias=False)
        if head == "tied":
            self.lm_head.weight = self.wte.weight

    def forward(self, ids, targets):
        x = self.wte(ids) + self.wpe
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))

    @torch.no_grad()
    def load(self, path):
        """Takes parameters by GPT-2's names, whose linear layers hold [in, out]."""
        found = load_file(path)
        for name, parameter in self.named_parameters():
            source = name.replace(".c_attn.", ".attn.c_attn.").replace(".c_fc.", ".mlp.c_fc.")
            source = source.replace(".c_proj.", ".attn.c_proj.")
            source = source.replace(".mlp_c_proj.", ".mlp.c_proj.")
            if source == "wpe":
                source = "wpe.weight"
            values = found.pop(source)
            is_linear = ".c_" in source and values.dim() == 2
            parameter.copy_(values.T if is_linear else values)
        if found:
            raise SystemExit(f"parameters without a place: {', '.join(found)}")


class Theirs:
    """PyTorch's training run."""

    def __init__(self, shape, path, compiled):
        batch, context, vocabulary = shape[:3]
        model = GPT(*shape[1:])
        model.load(path)
        parameters = list(model.parameters())
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.dim() == 2], "weight_decay": DECAY},
                {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
            ],
            lr=RATE, betas=BETAS, eps=EPSILON, fused=True,
        )
        self.parameters = parameters
        self.loss = torch.compile(model) if compiled else model
        i = torch.arange(batch * context + 1)
        tokens = (31 * i * i + 7_919 * i) % vocabulary
        self.ids, self.targets = tokens[:-1].view(batch, -1), tokens[1:].view(batch, -1)
        self.times, self.losses = [], []

    def step(self):
        start = time.perf_counter()
        loss = self.loss(self.ids, self.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.losses.append(loss.item())
        self.times.append(time.perf_counter() - start)


def benchmark_name(shape, threads):
    batch, context, vocabulary, dim, layers, heads, head = shape
    sizes = f"V{vocabulary}_B{batch}_T{context}_D{dim}_L{layers}_H{heads}"
    return f"training/gpt/auto/f32/{sizes}/{head}/threads:{threads}"


def measure(binary, shape, arguments):
    """Side -> (seconds of each step, losses), ours first; warm-up left in."""
    rounds = WARM + arguments.rounds
    name = benchmark_name(shape, arguments.threads)
    timing = processes.Timing(repetitions=rounds, seconds=1)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path = pathlib.Path(folder) / "model.safetensors"
        job = processes.Job(
            binary, {processes.ITERATIONS: "1", "EMBEDBENCH_SAVE_MODEL": str(path)}
        )
        ours = processes.Turn(
            stack, pathlib.Path(folder) / "ours", job, f"^{name}/", timing, None
        )
        theirs = {}
        for round in range(rounds):
            if not ours.take():
                ours.report()
                raise SystemExit(f"{binary} has no {name}")
            time.sleep(PAUSE)
            if round == 0:
                theirs["PyTorch"] = Theirs(shape, path, False)
                if arguments.compiled:
                    theirs["PyTorch, compiled"] = Theirs(shape, path, True)
            for side in theirs.values():
                side.step()
                time.sleep(PAUSE)
        ours.take()
        found = reports.read(ours.report(), "the report")
    if found.left_out or len(found.measured) != 1:
        raise SystemExit(f"not one measured benchmark: {found.left_out or list(found.measured)}")
    (steps,) = found.measured.values()
    sides = {"ours": ([step.wall / 1e9 for step in steps], [step.entry["loss"] for step in steps])}
    return sides | {name: (side.times, side.losses) for name, side in theirs.items()}


def peak(who):
    """The most memory of this process, or of any child so far, in MB."""
    return resource.getrusage(who).ru_maxrss * 1024 / 1e6


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    binary = arguments.binary or ROOT / ".build/release/embed-benchmarks"
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.rounds} rounds in "
          "turns\n")
    print("| shape | side | median of a step | quickest | tokens/s | ratio of medians | "
          "ratio of quickest | peak | losses differ by |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    agree = True
    for name in arguments.shape or SHAPES:
        sides = measure(binary, SHAPES[name], arguments)
        our_times, our_losses = sides["ours"]
        batch, context = SHAPES[name][:2]
        for side, (times, losses) in sides.items():
            median = statistics.median(times[WARM:])
            quickest = min(times[WARM:])
            # The first steps': later ones part by roundings that training makes larger.
            apart = max(abs(a - b) for a, b in zip(losses[:3], our_losses[:3]))
            agree = agree and apart <= TOLERANCE
            most = peak(resource.RUSAGE_CHILDREN if side == "ours" else resource.RUSAGE_SELF)
            print(f"| {name} | {side} | {median * 1e3:.0f} ms | {quickest * 1e3:.0f} ms "
                  f"| {batch * context / median:.0f} "
                  f"| {median / statistics.median(our_times[WARM:]):.2f} "
                  f"| {quickest / min(our_times[WARM:]):.2f} | {most:.0f} MB | {apart:.1e} |", flush=True)
    if not agree:
        raise SystemExit(f"error: the losses of the first steps differ by more than {TOLERANCE}")


if __name__ == "__main__":
    main()
