"""The libraries that are timed: for each, ways to embed and to add gradients, as functions of the
number of the id batch.

`preallocated` writes into an output that was there before, `fresh` returns a new one, as the library
does unless told otherwise. `backward` adds every row of an output gradient to a dense table gradient
that is there; `step` takes an SGD step of the table by the same rows. A sparse gradient that only
lists rows and leaves their sum for later is no backward: `row sparse` includes the sum.

Each way gives its result back when it is asked for, so that it can be checked.
"""

import dataclasses
import os
from typing import Callable

import numpy as np

PREALLOCATED, FRESH = "preallocated", "fresh"
BACKWARD, ROW_SPARSE, STEP = "backward", "row sparse", "step"
# Large enough for a wrong step to be seen by its result.
RATE = 2.0**-10


@dataclasses.dataclass
class Way:
    """`call(k)` works on id batch `k` and waits for the result; `result()` is that as an array."""

    call: Callable
    result: Callable


@dataclasses.dataclass
class Inputs:
    tokens: np.ndarray
    positions: np.ndarray
    ids: np.ndarray
    gradient: np.ndarray
    threads: int

    @property
    def shape(self):
        return (*self.ids.shape[1:], self.tokens.shape[1])

    def copies(self, dtype):
        return [batch.astype(dtype) for batch in self.ids]


class Kept:
    """The result of a call that returns it."""

    value = None


def returning(function, to_numpy):
    kept = Kept()

    def call(k):
        kept.value = function(k)

    return Way(call, lambda: to_numpy(kept.value))


def numpy_ways(inputs):
    # Fancy indexing and take want machine words; narrower ids would be converted in every call.
    ids = inputs.copies(np.intp)
    tokens, positions, gradient = inputs.tokens, inputs.positions, inputs.gradient
    output = np.zeros(inputs.shape, np.float32)

    def preallocated(k):
        # With the default mode, which raises, take works in a copy of the output.
        np.take(tokens, ids[k], axis=0, out=output, mode="clip")
        np.add(output, positions, out=output)

    total = np.zeros_like(tokens)
    flat = gradient.reshape(-1, gradient.shape[-1])
    return {
        PREALLOCATED: Way(preallocated, lambda: output),
        FRESH: returning(lambda k: tokens[ids[k]] + positions, np.asarray),
        BACKWARD: Way(lambda k: np.add.at(total, ids[k].reshape(-1), flat), lambda: total),
    }


def torch_ways(inputs):
    import torch

    torch.set_num_threads(inputs.threads)
    torch.set_grad_enabled(False)
    ids = [torch.from_numpy(batch) for batch in inputs.copies(np.int64)]
    flat_ids = [batch.reshape(-1) for batch in ids]
    tokens, positions = torch.from_numpy(inputs.tokens), torch.from_numpy(inputs.positions)
    gradient = torch.from_numpy(inputs.gradient)
    flat = gradient.reshape(-1, gradient.shape[-1])
    output = torch.zeros(inputs.shape)
    rows = output.view(-1, output.shape[-1])
    embedding = torch.nn.functional.embedding

    def preallocated(k):
        torch.index_select(tokens, 0, flat_ids[k], out=rows)
        output.add_(positions)

    total = torch.zeros_like(tokens)
    table = tokens.clone()

    def row_sparse(k):
        sparse = torch.sparse_coo_tensor(flat_ids[k][None], flat, tokens.shape).coalesce()
        return sparse, gradient.sum(0)

    return {
        PREALLOCATED: Way(preallocated, output.numpy),
        FRESH: returning(lambda k: embedding(ids[k], tokens) + positions, lambda value: value.numpy()),
        BACKWARD: Way(lambda k: total.index_add_(0, flat_ids[k], flat), total.numpy),
        ROW_SPARSE: returning(row_sparse, lambda value: value[0].to_dense().numpy()),
        STEP: Way(lambda k: table.index_add_(0, flat_ids[k], flat, alpha=-RATE), table.numpy),
    }


def compiled_ways(inputs):
    import torch

    torch.set_num_threads(inputs.threads)
    torch.set_grad_enabled(False)
    ids = [torch.from_numpy(batch) for batch in inputs.copies(np.int64)]
    tokens, positions = torch.from_numpy(inputs.tokens), torch.from_numpy(inputs.positions)
    output = torch.zeros(inputs.shape)
    embedding = torch.nn.functional.embedding

    @torch.compile(dynamic=False)
    def fresh(tokens, ids, positions):
        return embedding(ids, tokens) + positions

    @torch.compile(dynamic=False)
    def preallocated(tokens, ids, positions, output):
        output.copy_(embedding(ids, tokens) + positions)

    return {
        PREALLOCATED: Way(lambda k: preallocated(tokens, ids[k], positions, output), output.numpy),
        FRESH: returning(lambda k: fresh(tokens, ids[k], positions), lambda value: value.numpy()),
    }


def jax_ways(inputs):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    ids = [jnp.asarray(batch) for batch in inputs.ids]
    flat_ids = [batch.reshape(-1) for batch in ids]
    tokens, positions = jnp.asarray(inputs.tokens), jnp.asarray(inputs.positions)
    flat = jnp.asarray(inputs.gradient.reshape(-1, inputs.gradient.shape[-1]))

    def embed(tokens, ids, positions):
        # The fastest of its modes: ids are not looked at.
        return tokens.at[ids].get(mode="promise_in_bounds") + positions

    fresh = jax.jit(embed)
    # A donated buffer becomes the output.
    into = jax.jit(lambda output, *rest: embed(*rest), donate_argnums=0, keep_unused=True)
    added = jax.jit(
        lambda total, ids, rows: total.at[ids].add(rows, mode="promise_in_bounds"), donate_argnums=0)
    stepped = jax.jit(
        lambda table, ids, rows: table.at[ids].add(-RATE * rows, mode="promise_in_bounds"),
        donate_argnums=0)

    def giving(function, start, *rest):
        """A way whose output is the next call's buffer."""
        kept = Kept()
        kept.value = start

        def call(k):
            kept.value = function(kept.value, k).block_until_ready()

        return Way(call, lambda: np.array(kept.value))

    return {
        PREALLOCATED: giving(
            lambda output, k: into(output, tokens, ids[k], positions), jnp.zeros(inputs.shape)),
        FRESH: returning(lambda k: fresh(tokens, ids[k], positions).block_until_ready(), np.array),
        BACKWARD: giving(lambda total, k: added(total, flat_ids[k], flat), jnp.zeros_like(tokens)),
        STEP: giving(lambda table, k: stepped(table, flat_ids[k], flat), jnp.array(inputs.tokens)),
    }


def onnx_ways(inputs):
    import onnxruntime
    from onnx import TensorProto, checker, helper

    batch, context, dim = inputs.shape
    floats, integers = TensorProto.FLOAT, TensorProto.INT32
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["tokens", "ids"], ["rows"], axis=0),
            helper.make_node("Add", ["rows", "positions"], ["output"]),
        ],
        "embedding",
        [
            helper.make_tensor_value_info("tokens", floats, list(inputs.tokens.shape)),
            helper.make_tensor_value_info("ids", integers, [batch, context]),
            helper.make_tensor_value_info("positions", floats, [context, dim]),
        ],
        [helper.make_tensor_value_info("output", floats, [batch, context, dim])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = inputs.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    value = onnxruntime.OrtValue.ortvalue_from_numpy
    tokens, positions = value(inputs.tokens), value(inputs.positions)
    ids = [value(batch) for batch in inputs.copies(np.int32)]
    output = value(np.zeros(inputs.shape, np.float32))

    def bound(k, bind_output):
        binding = session.io_binding()
        binding.bind_ortvalue_input("tokens", tokens)
        binding.bind_ortvalue_input("ids", ids[k])
        binding.bind_ortvalue_input("positions", positions)
        bind_output(binding)
        return binding

    into = [bound(k, lambda binding: binding.bind_ortvalue_output("output", output))
            for k in range(len(ids))]

    def fresh(k):
        binding = bound(k, lambda binding: binding.bind_output("output"))
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0]

    return {
        PREALLOCATED: Way(lambda k: session.run_with_iobinding(into[k]), output.numpy),
        FRESH: returning(fresh, lambda result: result.numpy()),
    }


def mlx_ways(inputs):
    import mlx.core as mx

    mx.set_default_device(mx.cpu)
    ids = [mx.array(batch) for batch in inputs.ids]
    flat_ids = [batch.reshape(-1) for batch in ids]
    tokens, positions = mx.array(inputs.tokens), mx.array(inputs.positions)
    flat = mx.array(inputs.gradient.reshape(-1, inputs.gradient.shape[-1]))
    embed = mx.compile(lambda tokens, ids, positions: tokens[ids] + positions)
    add = mx.compile(lambda total, ids, rows: total.at[ids].add(rows))
    mx.eval(tokens, positions, flat, *ids, *flat_ids)

    def fresh(k):
        value = embed(tokens, ids[k], positions)
        mx.eval(value)
        return value

    total = Kept()
    total.value = mx.zeros_like(tokens)

    def backward(k):
        total.value = add(total.value, flat_ids[k], flat)
        mx.eval(total.value)

    # It takes no output: its cache hands memory that was freed to the next call.
    return {
        FRESH: returning(fresh, np.array),
        BACKWARD: Way(backward, lambda: np.array(total.value)),
    }


PEERS = {
    "NumPy": numpy_ways,
    "PyTorch": torch_ways,
    "PyTorch compiled": compiled_ways,
    "JAX": jax_ways,
    "ONNX Runtime": onnx_ways,
    "MLX": mlx_ways,
}
PACKAGES = {
    "NumPy": "numpy", "PyTorch": "torch", "PyTorch compiled": "torch", "JAX": "jax",
    "ONNX Runtime": "onnxruntime", "MLX": "mlx",
}
# What has one thread whatever it is told.
SINGLE = ("NumPy", "MLX")
