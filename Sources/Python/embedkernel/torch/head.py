"""The output head that shares the token table."""

from __future__ import annotations

from typing import Any, Union

from torch import Tensor, nn

from ._tied import tied_logits


class TiedHead(nn.Module):
    """Logits against the rows of the token table, `scale * hidden @ table.T` (Press and Wolf, 2017).

    The weight is the embedding's own parameter: a step moves both, and a gradient of either is added to the same
    `grad`. As with `lm_head.weight = wte.weight`, the state dict of a model names it twice.

    Arguments:
        embedding: An `Embedding`, `torch.nn.Embedding` or `InputEmbedding`, or the parameter itself.
        scale: Multiplies the logits, such as `dim ** -0.5` in T5.

    Shapes: hidden (..., dim), output (..., vocabulary), float32; other types, and autocast, go through
    `torch.nn.functional.linear`. Allocates its output from the buffers that are reused.
    """

    weight: nn.Parameter

    def __init__(self, embedding: Union[nn.Module, nn.Parameter], scale: float = 1.0) -> None:
        super().__init__()
        weight: Any = embedding
        if isinstance(embedding, nn.Module):
            weight = getattr(getattr(embedding, "tokens", embedding), "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.dim() != 2:
            raise TypeError(f"TiedHead takes an embedding or its weight, not {type(embedding).__name__}")
        if not (scale == scale and abs(scale) != float("inf")):
            raise ValueError(f"scale must be finite, not {scale}")
        self.weight = weight
        self.scale = float(scale)

    def forward(self, hidden: Tensor) -> Tensor:
        return tied_logits(hidden, self.weight, scale=self.scale)

    def extra_repr(self) -> str:
        return f"vocabulary={self.weight.shape[0]}, dim={self.weight.shape[1]}, scale={self.scale}"


__all__ = ["TiedHead"]

