"""The input layer of a language model as one module and one pass: BERT's, GPT-2's, and their kin's."""

from __future__ import annotations

from typing import Any, Optional, Union

import torch
from torch import Tensor, nn

from ._embed import renormalize_, run_embed
from ._fused import run_fused
from .embedding import Embedding

Norm = Union[nn.LayerNorm, nn.RMSNorm]


def _weight(module: Any) -> Any:
    """The weight of a part, past the attribute's slow way; None of a part that there isn't."""
    if module is None:
        return None
    weight = module._parameters.get("weight")
    return module.weight if weight is None else weight


class InputEmbedding(nn.Module):
    """Token, position and segment rows, summed, normalised and dropped from, in one pass.

        x = scale * tokens[ids] + positions[place] + segments[segment_ids]
        output = dropout(norm(x))

    Every part but the tokens may be absent. Parts are modules of PyTorch's kind, `tokens`, `positions`, `segments`
    and `norm`, with their state dicts: `tokens.weight` and so on. Their own `forward`, and hooks on them, are not
    called.

    Arguments:
        num_embeddings: Rows of the token table.
        embedding_dim: Elements of a row.
        max_positions: Rows of the position table; None for no learned positions.
        num_segments: Rows of the segment table (token types); None for none.
        norm: "layer", "rms" or None.
        eps: Added to the variance; None for 1e-5.
        dropout: The share of elements that training drops. Masks are drawn from PyTorch's generator.
        scale: Multiplies token rows, such as `embedding_dim ** 0.5`.
        padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse: Of the token table, as `torch.nn.Embedding`'s.

    With segments, a norm or dropout all tables are float32 (others go through PyTorch's own operators), and a
    second derivative is refused; without, float16 and bfloat16 too. The forward allocates its output alone, from
    the buffers that are reused; the backward one more of its size.
    """

    scale: float
    dropout: float

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_positions: Optional[int] = None,
        *,
        num_segments: Optional[int] = None,
        norm: Optional[str] = None,
        eps: Optional[float] = None,
        dropout: float = 0.0,
        scale: float = 1.0,
        padding_idx: Optional[int] = None,
        max_norm: Optional[float] = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        device: Any = None,
        dtype: Optional[torch.dtype] = None,
    ) -> None:
        if norm not in ("layer", "rms", None):
            raise ValueError(f'norm must be "layer", "rms" or None, not {norm!r}')
        tokens = Embedding(
            num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            device=device, dtype=dtype,
        )
        positions = None
        if max_positions is not None:
            positions = nn.Embedding(max_positions, embedding_dim, device=device, dtype=dtype)
        segments = None
        if num_segments is not None:
            segments = nn.Embedding(num_segments, embedding_dim, device=device, dtype=dtype)
        made: Optional[Norm] = None
        eps = 1e-5 if eps is None else eps
        if norm == "layer":
            made = nn.LayerNorm(embedding_dim, eps, device=device, dtype=dtype)
        elif norm == "rms":
            made = nn.RMSNorm(embedding_dim, eps, device=device, dtype=dtype)
        self._compose(tokens, positions, segments, made, dropout, scale)

    @classmethod
    def from_modules(
        cls,
        tokens: nn.Embedding,
        positions: Optional[nn.Embedding] = None,
        segments: Optional[nn.Embedding] = None,
        norm: Optional[Norm] = None,
        *,
        dropout: float = 0.0,
        scale: float = 1.0,
    ) -> InputEmbedding:
        """Composes modules that there are, such as GPT-2's `wte` and `wpe`, and shares them.

        Raises ValueError for parts of different sizes, and for a position or segment table with options of its
        own (`max_norm`, `padding_idx`, `scale_grad_by_freq`, `sparse`), which this layer has for tokens alone.
        """
        made = cls.__new__(cls)
        made._compose(tokens, positions, segments, norm, dropout, scale)
        return made

    def _compose(
        self,
        tokens: nn.Embedding,
        positions: Optional[nn.Embedding],
        segments: Optional[nn.Embedding],
        norm: Optional[Norm],
        dropout: float,
        scale: float,
    ) -> None:
        super().__init__()
        dim = tokens.embedding_dim
        for name, part in (("positions", positions), ("segments", segments)):
            if part is None:
                continue
            if part.embedding_dim != dim:
                raise ValueError(f"rows of {name} have {part.embedding_dim} elements, the tokens' {dim}")
            if part.max_norm is not None or part.padding_idx is not None or part.scale_grad_by_freq or part.sparse:
                raise ValueError(f"{name} has max_norm, padding_idx, scale_grad_by_freq or sparse, which tokens alone may have")
        if norm is not None and tuple(norm.normalized_shape) != (dim,):
            raise ValueError(f"the norm is over {tuple(norm.normalized_shape)}, not ({dim},)")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be 0 or more and below 1, not {dropout}")
        if not (scale == scale and abs(scale) != float("inf")):
            raise ValueError(f"scale must be finite, not {scale}")
        self.tokens = tokens
        # By name, so that absent parts are known as such.
        self.register_module("positions", positions)
        self.register_module("segments", segments)
        self.register_module("norm", norm)
        self.dropout = float(dropout)
        self.scale = float(scale)

    def forward(
        self,
        input_ids: Tensor,
        segment_ids: Optional[Tensor] = None,
        position_ids: Optional[Tensor] = None,
        offset: int = 0,
    ) -> Tensor:
        """Computes the input embeddings of a batch.

        Arguments:
            input_ids: (..., T), int32 or int64.
            segment_ids: The same shape and type; None for segment 0.
            position_ids: The same shape or (T), int32 or int64; None for offset, offset + 1, ...
            offset: The position of column 0, as in generation with a cache.

        Returns (..., T, embedding_dim). Raises IndexError, which names row, position and id; ValueError.
        """
        modules = self._modules
        tokens: Any = modules["tokens"]
        segments: Any = modules["segments"]
        norm: Any = modules["norm"]
        places: Any = modules["positions"]
        table = tokens._parameters.get("weight")
        if table is None:  # A parametrised one.
            table = tokens.weight
        positions = None if places is None else _weight(places)
        if tokens.max_norm is not None:
            renormalize_(table, input_ids, tokens.max_norm, tokens.norm_type)
        padding_idx = tokens.padding_idx
        padding = -1 if padding_idx is None else padding_idx
        dropout = self.dropout if self.training else 0.0
        if segment_ids is not None and segments is None:
            raise ValueError("segment ids were given to a layer without segments")
        if segments is None and norm is None and dropout == 0:
            return run_embed(
                input_ids, table, positions, position_ids, offset, self.scale, padding, tokens.scale_grad_by_freq,
                tokens.sparse,
            )
        kind, epsilon, gamma, beta = 0, 1e-5, None, None
        if norm is not None:
            kind = 2 if isinstance(norm, nn.RMSNorm) else 1
            gamma = norm.weight
            beta = getattr(norm, "bias", None)
            # RMSNorm's default is the type's.
            epsilon = norm.eps if norm.eps is not None else torch.finfo(table.dtype).eps
        return run_fused(
            input_ids, table, positions, _weight(segments), segment_ids, position_ids, gamma, beta, offset, self.scale,
            kind, epsilon, dropout, padding, tokens.scale_grad_by_freq, tokens.sparse,
        )

    def extra_repr(self) -> str:
        return f"scale={self.scale}, dropout={self.dropout}"


__all__ = ["InputEmbedding"]
