"""EmbedKernel for PyTorch: the input-embedding layer on the CPU.

Modules that take the place of PyTorch's own, on operators compiled once for every release from 2.11 on:

- `Embedding`: `torch.nn.Embedding`, with every argument of it.
- `EmbeddingBag`: `torch.nn.EmbeddingBag`, with every argument of it.
- `InputEmbedding`: token, position and segment rows, normalised and dropped from, in one pass.
- `RotaryEmbedding`: rotary positions from a model's `config.json`.
- `ShardedEmbedding`: a token table whose rows are divided over the ranks of `torch.distributed`.
- `TiedHead`: logits against the token table.
- `optim`: optimisers whose steps cost what the touched rows cost.

`replace_embeddings` puts the first two in the place of a model's own; `embed`, `embedding_bag`, `rotate` and
`tied_logits` are the functions that they stand on. All compute on the CPU, in float32, float16 or bfloat16; what goes
to PyTorch's own operators instead is said where it does. Outputs and gradients from 64 KiB on stand in buffers that are reused once their tensors are gone (`embedkernel.pool`).
"""

from __future__ import annotations

from ._library import load as _load

_load()

from . import _fake as _fake  # noqa: E402  What compilers know of the operators.
from ._bag import embedding_bag  # noqa: E402
from ._embed import embed  # noqa: E402
from ._rotate import rotate  # noqa: E402
from ._tied import tied_logits  # noqa: E402
from .embedding import Embedding, replace_embeddings  # noqa: E402
from .bags import EmbeddingBag  # noqa: E402
from .head import TiedHead  # noqa: E402
from .input_embedding import InputEmbedding  # noqa: E402
from .rotary import RotaryEmbedding  # noqa: E402

__all__ = [
    "Embedding",
    "EmbeddingBag",
    "InputEmbedding",
    "RotaryEmbedding",
    "ShardedEmbedding",
    "TiedHead",
    "embed",
    "embedding_bag",
    "optim",
    "replace_embeddings",
    "rotate",
    "tied_logits",
]


def __getattr__(name: str) -> object:
    import importlib

    if name == "optim":
        return importlib.import_module(".optim", __name__)
    if name == "ShardedEmbedding":
        # Not before it is asked for: some builds of PyTorch have no torch.distributed.
        from .sharded import ShardedEmbedding

        return ShardedEmbedding
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
