#!/usr/bin/env python3
"""Times rotary positions by other libraries and by this one, in alternation, on the same work:
queries and keys [8, 12, 1024, 64] fp32 into other memory, on two threads.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/peers.txt
    swift build -c release --product embed-benchmarks
    .venv/bin/python scripts/reference/compare_rotary.py .build/release/embed-benchmarks

A round runs everything once in a new random order, so that drift of the machine falls on all alike;
the figures are medians over rounds, and `x ours` compares with the native backend in the same
layout. Inputs rotate over sets that together outgrow the cache. A peer that is not installed is left
out and named. Figures hold only on an idle machine.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time

THREADS = 2
os.environ["OMP_NUM_THREADS"] = str(THREADS)
os.environ["MKL_NUM_THREADS"] = str(THREADS)

BATCH, HEADS, CONTEXT, DIM = 8, 12, 1024, 64
SHAPE = (BATCH, HEADS, CONTEXT, DIM)
SETS = 3
SEED = 20_240_608


def inputs():
    import numpy as np

    generator = np.random.default_rng(SEED)
    frequencies = 10_000.0 ** (-np.arange(0, DIM, 2) / DIM)
    angles = np.arange(CONTEXT)[:, None] * frequencies
    return (
        [
            tuple(generator.standard_normal(SHAPE, dtype=np.float32) for _ in range(2))
            for _ in range(SETS)
        ],
        np.cos(angles).astype(np.float32),
        np.sin(angles).astype(np.float32),
    )


def expected(x, cosines, sines, layout):
    import numpy as np

    y = np.empty_like(x)
    if layout == "interleaved":
        a, b, first, second = x[..., 0::2], x[..., 1::2], y[..., 0::2], y[..., 1::2]
    else:
        half = DIM // 2
        a, b, first, second = x[..., :half], x[..., half:], y[..., :half], y[..., half:]
    first[...] = a * cosines - b * sines
    second[...] = b * cosines + a * sines
    return y


# Each peer yields (name, layout, call): `call(k)` rotates set k and returns one of the two outputs
# when it is done.


def torch_peers(sets, cosines, sines, compiled):
    import torch

    torch.set_num_threads(THREADS)
    pairs = [tuple(torch.from_numpy(x) for x in pair) for pair in sets]
    turns = torch.complex(torch.from_numpy(cosines), torch.from_numpy(sines))

    def complex_form(k):
        return [
            torch.view_as_real(
                torch.view_as_complex(x.view(*SHAPE[:-1], DIM // 2, 2)) * turns
            ).view(SHAPE)
            for x in pairs[k]
        ][0].numpy

    outputs = [torch.empty(*SHAPE[:-1], DIM // 2, dtype=torch.complex64) for _ in range(2)]

    def complex_into(k):
        for x, y in zip(pairs[k], outputs):
            torch.mul(torch.view_as_complex(x.view(*SHAPE[:-1], DIM // 2, 2)), turns, out=y)
        return torch.view_as_real(outputs[0]).view(SHAPE).numpy

    c = torch.cat([torch.from_numpy(cosines)] * 2, dim=-1)
    s = torch.cat([torch.from_numpy(sines)] * 2, dim=-1)

    def rotate_half(q, k):
        def turned(x):
            return torch.cat((-x[..., DIM // 2 :], x[..., : DIM // 2]), dim=-1)

        return q * c + turned(q) * s, k * c + turned(k) * s

    yield "torch complex", "interleaved", complex_form
    yield "torch complex, given output", "interleaved", complex_into
    yield "torch rotate-half, eager", "half", lambda k: rotate_half(*pairs[k])[0].numpy
    if compiled:
        fast = torch.compile(rotate_half)
        yield "torch rotate-half, compiled", "half", lambda k: fast(*pairs[k])[0].numpy


def onnx_peers(sets, cosines, sines):
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    for layout in ["interleaved", "half"]:
        names = ["q", "k"]
        nodes = [
            helper.make_node(
                "RotaryEmbedding",
                [name, "positions", "cosines", "sines"],
                [name + "_out"],
                domain="com.microsoft",
                interleaved=int(layout == "interleaved"),
            )
            for name in names
        ]
        graph = helper.make_graph(
            nodes,
            "rotary",
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, SHAPE) for n in names]
            + [
                helper.make_tensor_value_info("positions", TensorProto.INT64, (BATCH, CONTEXT)),
                helper.make_tensor_value_info("cosines", TensorProto.FLOAT, cosines.shape),
                helper.make_tensor_value_info("sines", TensorProto.FLOAT, sines.shape),
            ],
            [helper.make_tensor_value_info(n + "_out", TensorProto.FLOAT, SHAPE) for n in names],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
            ir_version=8,
        )
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        positions = np.broadcast_to(np.arange(CONTEXT), (BATCH, CONTEXT)).astype(np.int64)
        outputs = [np.empty(SHAPE, np.float32) for _ in names]
        bindings = []
        for pair in sets:
            binding = session.io_binding()
            for name, x, y in zip(names, pair, outputs):
                binding.bind_cpu_input(name, x)
                binding.bind_output(
                    name + "_out", "cpu", 0, np.float32, SHAPE, y.ctypes.data
                )
            for name, value in [("positions", positions), ("cosines", cosines), ("sines", sines)]:
                binding.bind_cpu_input(name, value)
            bindings.append(binding)

        def call(k, session=session, bindings=bindings, outputs=outputs):
            session.run_with_iobinding(bindings[k])
            return lambda: outputs[0]

        yield "ONNX Runtime RotaryEmbedding", layout, call


def jax_peers(sets, cosines, sines):
    import jax
    import jax.numpy as jnp
    import numpy as np

    pairs = [tuple(jnp.asarray(x) for x in pair) for pair in sets]

    @jax.jit
    def half(q, k):
        def rotated(x):
            a, b = x[..., : DIM // 2], x[..., DIM // 2 :]
            return jnp.concatenate([a * cosines - b * sines, b * cosines + a * sines], axis=-1)

        return rotated(q), rotated(k)

    @jax.jit
    def interleaved(q, k):
        def rotated(x):
            a, b = x[..., 0::2], x[..., 1::2]
            y = jnp.stack([a * cosines - b * sines, b * cosines + a * sines], axis=-1)
            return y.reshape(x.shape)

        return rotated(q), rotated(k)

    for layout, function in [("interleaved", interleaved), ("half", half)]:

        def call(k, function=function):
            y = jax.block_until_ready(function(*pairs[k]))
            return lambda: np.asarray(y[0])

        yield "JAX, jit", layout, call


def mlx_peers(sets, cosines, sines):
    import mlx.core as mx
    import numpy as np

    mx.set_default_device(mx.cpu)
    pairs = [tuple(mx.array(x) for x in pair) for pair in sets]
    for layout in ["interleaved", "half"]:

        def call(k, traditional=layout == "interleaved"):
            outputs = [
                mx.fast.rope(
                    x, DIM, traditional=traditional, base=10_000.0, scale=1.0, offset=0
                )
                for x in pairs[k]
            ]
            mx.eval(*outputs)
            return lambda: np.array(outputs[0])

        yield "MLX fast.rope", layout, call


def ours(binary, seconds):
    """(backend, layout) -> seconds for queries and keys together, of one short run."""
    work = f"B{BATCH}_H{HEADS}_T{CONTEXT}_D{DIM}"
    report = subprocess.run(
        [
            binary,
            f"--benchmark_filter=rope/.*/f32/{work}/.*/queries_and_keys/threads:{THREADS}",
            f"--benchmark_min_time={seconds}",
            "--benchmark_format=json",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    units = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
    return {
        (entry["name"].split("/")[1], entry["name"].split("/")[4]): entry["real_time"]
        * units[entry["time_unit"]]
        for entry in json.loads(report)["benchmarks"]
    }


def timed(call, seconds):
    """The median time of calls within about `seconds`."""
    times = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call(len(times) % SETS)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("binary", help="embed-benchmarks, built for release")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=0.1, help="of one measurement in a round"
    )
    parser.add_argument(
        "--no-compile", action="store_true", help="leave out torch.compile, which takes a while"
    )
    arguments = parser.parse_args()

    sets, cosines, sines = inputs()
    peers = []
    for make in [
        lambda *a: torch_peers(*a, compiled=not arguments.no_compile),
        onnx_peers,
        jax_peers,
        mlx_peers,
    ]:
        try:
            for name, layout, call in make(sets, cosines, sines):
                # The first call compiles; each peer must compute the same thing.
                y, want = call(0)(), expected(sets[0][0], cosines, sines, layout)
                error = abs(y - want).max()
                if not error < 1e-3:
                    sys.exit(f"{name}, {layout}: off by {error}")
                peers.append((name, layout, call))
        except ImportError as error:
            print(f"left out: {error}", file=sys.stderr)

    times = {}
    for _ in range(arguments.rounds):
        tasks = [*peers, None]
        random.shuffle(tasks)
        for task in tasks:
            if task is None:
                for (backend, layout), value in ours(arguments.binary, arguments.seconds).items():
                    times.setdefault((f"EmbedKernel, {backend}", layout), []).append(value)
            else:
                name, layout, call = task
                times.setdefault((name, layout), []).append(timed(call, arguments.seconds))

    medians = {key: statistics.median(values) for key, values in times.items()}
    print("| layout | by | median | lowest | x ours |")
    print("|---|---|---|---|---|")
    for (name, layout), median in sorted(medians.items(), key=lambda item: (item[0][1], item[1])):
        ratio = median / medians[("EmbedKernel, native", layout)]
        low = min(times[name, layout])
        print(f"| {layout} | {name} | {median * 1e3:.2f} ms | {low * 1e3:.2f} ms | {ratio:.2f} |")


if __name__ == "__main__":
    main()
