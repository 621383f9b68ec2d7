"""`torch.nn.Embedding` on EmbedKernel's operators."""

from __future__ import annotations

from typing import Any, TypeVar


from torch import Tensor, nn

from ._embed import renormalize_, run_embed
from .bags import EmbeddingBag


_Layer = TypeVar("_Layer", bound=nn.Embedding)


def _sharing(kind: type[_Layer], module: nn.Embedding) -> _Layer:
    """A layer of `kind` with the settings of `module` and its weight."""
    made = kind(
        module.num_embeddings, module.embedding_dim, module.padding_idx, module.max_norm, module.norm_type,
        module.scale_grad_by_freq, module.sparse, _weight=module.weight,
    )
    # The parameter itself: an optimiser may hold it, and other layers may share it.
    made.weight = module.weight
    made.train(module.training)
    return made


class Embedding(nn.Embedding):
    """Takes the place of `torch.nn.Embedding`: the same arguments, attributes, state dict and results.

    It is one, so that `isinstance` checks, initialisers and wrappers of other libraries go on as before. What
    differs is how `forward` computes:

    - float32, float16 and bfloat16 weights on the CPU go through EmbedKernel; float64, other types, weights that
      are not contiguous, nested ids, the transforms of `torch.func`, and what `torch.fx` and `torch.jit` record go
      through PyTorch's own operator.
    - Gradients of 16-bit weights are summed in float32 and rounded once.
    - `scale_grad_by_freq` and `sparse` may be combined. A sparse gradient is, as PyTorch's, the ids and the output's
      gradient as they are; with `padding_idx` or `scale_grad_by_freq` it is coalesced.
    - An id outside the table raises an IndexError that names its row, its position and the id.
    - A weight on another device raises a RuntimeError that names it.

    - Outputs lie in memory that PyTorch did not allocate: `resize_` can't make one larger.

    Shapes: `input` (...) of int32 or int64; output (..., embedding_dim). Outputs and gradients from 64 KiB on come
    from buffers that are reused (`embedkernel.pool`); nothing else is allocated.
    """

    def forward(self, input: Tensor) -> Tensor:
        weight: Any = self._parameters.get("weight")
        if weight is None:  # A parametrised one.
            weight = self.weight
        max_norm = self.max_norm
        if max_norm is not None:
            if not isinstance(input, Tensor):  # A proxy of torch.fx, whose graph would leave no_grad out.
                return super().forward(input)
            renormalize_(weight, input, max_norm, self.norm_type)
        padding_idx = self.padding_idx
        return run_embed(
            input, weight, None, None, 0, 1.0, -1 if padding_idx is None else padding_idx, self.scale_grad_by_freq,
            self.sparse,
        )

    def __prepare_scriptable__(self) -> nn.Embedding:
        """What `torch.jit.script` compiles in this layer's place: PyTorch's own, with the same weight."""
        return _sharing(nn.Embedding, self)

    @classmethod
    def from_module(cls, module: nn.Embedding) -> Embedding:
        """The same layer on EmbedKernel's operators, sharing `module`'s weight."""
        return _sharing(cls, module)


def replace_embeddings(module: nn.Module) -> int:
    """Puts an `Embedding` in the place of every `torch.nn.Embedding` below `module`, and an `EmbeddingBag` in that of
    every `torch.nn.EmbeddingBag`, weights shared.

    Returns how many there were. Subclasses other than PyTorch's own stay: their forward is theirs.
    """
    count = 0
    known: dict[int, nn.Module] = {}
    for parent in list(module.modules()):
        # Not named_children, which names a child of two names once.
        for name, child in list(parent._modules.items()):
            made: nn.Module
            if type(child) is nn.Embedding:
                made = Embedding.from_module(child)
            elif type(child) is nn.EmbeddingBag:
                made = EmbeddingBag.from_module(child)
            else:
                continue
            # A layer that is registered in several places stays one.
            setattr(parent, name, known.setdefault(id(child), made))
            count += 1
    return count


__all__ = ["Embedding", "replace_embeddings"]

