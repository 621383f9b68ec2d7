"""`torch.nn.EmbeddingBag` on EmbedKernel's operators."""

from __future__ import annotations

from typing import Optional, TypeVar

from torch import Tensor, nn

from ._bag import embedding_bag


_Layer = TypeVar("_Layer", bound=nn.EmbeddingBag)


def _sharing(kind: type[_Layer], module: nn.EmbeddingBag) -> _Layer:
    """A layer of `kind` with the settings of `module` and its weight."""
    made = kind(
        module.num_embeddings, module.embedding_dim, module.max_norm, module.norm_type, module.scale_grad_by_freq,
        module.mode, module.sparse, module.weight, module.include_last_offset, module.padding_idx,
    )
    # The parameter itself: an optimiser may hold it, and other layers may share it.
    made.weight = module.weight
    made.train(module.training)
    return made


class EmbeddingBag(nn.EmbeddingBag):
    """Takes the place of `torch.nn.EmbeddingBag`: the same arguments, attributes, state dict and results.

    It is one, so that `isinstance` checks, initialisers and wrappers of other libraries go on as before. What
    differs is how `forward` computes, as `embedding_bag` says: float32, float16 and bfloat16 on the CPU go through
    EmbedKernel, with sums in float32 in the order of the ids. A sparse gradient is coalesced. Offsets must not
    fall, and an id outside the table raises an IndexError that names its bag, its position and the id.
    """

    def forward(
        self, input: Tensor, offsets: Optional[Tensor] = None, per_sample_weights: Optional[Tensor] = None
    ) -> Tensor:
        return embedding_bag(
            input, self.weight, offsets, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.mode,
            self.sparse, per_sample_weights, self.include_last_offset, self.padding_idx,
        )

    def __prepare_scriptable__(self) -> nn.EmbeddingBag:
        """What `torch.jit.script` compiles in this layer's place: PyTorch's own, with the same weight."""
        return _sharing(nn.EmbeddingBag, self)

    @classmethod
    def from_module(cls, module: nn.EmbeddingBag) -> EmbeddingBag:
        """The same layer on EmbedKernel's operators, sharing `module`'s weight."""
        return _sharing(cls, module)


__all__ = ["EmbeddingBag"]
