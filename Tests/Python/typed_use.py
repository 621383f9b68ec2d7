"""What a user writes, for the type checkers; it is not run."""

from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

import embedkernel as ek

table = np.zeros((9, 4), np.float32)
ids = np.zeros((2, 3), np.int64)
output = ek.embed(table, ids, table, offset=1)
fused = ek.embed_fused(table, [[1, 2]], norm="layer", gamma=table[0])
assert_type(fused, npt.NDArray[Any])
gradients = ek.backward(fused, ids, 9, maximum=4)
if isinstance(gradients.tokens, ek.RowGradient):
    assert_type(gradients.tokens.rows, npt.NDArray[np.int64])
    ek.optim.AdamW(table, 1e-3, weight_decay=0.1).step(gradients.tokens)
rotary = ek.Rotary.from_config({"head_dim": 8})
assert_type(rotary.head_dim, int)
tensors = ek.load("model.safetensors")
ek.save("copy.safetensors", tensors, metadata={"format": "np"})
for inputs, targets in ek.Windows([1, 2, 3], context=1, batch=1):
    assert_type(inputs, npt.NDArray[np.int32])
try:
    ek.embed(table, [[99]])
except ek.OutOfRangeError as error:
    assert_type(error.row, int | None)
assert_type(ek.pool.info().held, int)
layer = ek.InputEmbedding(table, padding_id=0)
assert_type(layer(ids), npt.NDArray[np.float32])
pooled = ek.bag(table, ids, mode="mean")
maximum, winners = ek.bag_max(table, ids)
assert_type(winners, npt.NDArray[np.int32])
pooled_gradient = ek.bag_backward(pooled, ids, 9, mode="max", winners=winners)
if isinstance(pooled_gradient, ek.RowGradient):
    assert_type(pooled_gradient.values, npt.NDArray[np.float32])
quantized = ek.QuantizedTable.quantize(table, "int8")
assert_type(quantized.dequantize(), npt.NDArray[np.float32])
assert_type(ek.bag_weight_gradient(pooled, quantized, ids), npt.NDArray[np.float32])
ek.Rotary(8, scaling={"rope_type": "linear", "factor": 2.0})
assert_type(ek.KERPLE(np.ones((2, 4), np.float32)).weights, npt.NDArray[np.float32])
