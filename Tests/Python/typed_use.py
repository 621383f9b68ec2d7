"""What a user writes, for the type checkers; it is not run."""

import numpy as np
import numpy.typing as npt
from typing_extensions import assert_type

import embedkernel as ek

table = np.zeros((9, 4), np.float32)
ids = np.zeros((2, 3), np.int64)
output = ek.embed(table, ids, table, offset=1)
fused = ek.embed_fused(table, [[1, 2]], norm="layer", gamma=table[0])
assert_type(fused, npt.NDArray[np.float32])
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
