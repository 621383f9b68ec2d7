"""Biases of attention logits that follow from positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from ._types import Array, Float32, IDs


class _Bias:
    _handle: Any
    heads: int

    def add(
        self,
        logits: npt.NDArray[Any],
        *,
        query_offset: int | Array | None = None,
        query_positions: IDs | None = None,
        key_offset: int | Array | None = None,
        key_positions: IDs | None = None,
        cumulative_lengths: IDs | None = None,
        key_mask: Array | None = None,
        causal: bool = False,
        threads: int = 0,
    ) -> npt.NDArray[Any]:
        """Adds the bias to logits in place, and returns them.

        Args:
            logits: (B, H, Q, K) of float32, float16 or bfloat16.
            query_offset, query_positions: where the queries stand: a number, (B), or (Q) or (B, Q) positions.
            key_offset, key_positions: the same of the keys.
            cumulative_lengths: documents one after another, from 0; logits between two become -inf.
            key_mask: (B, K), False for padding, whose logits become -inf.
            causal: logits of keys after their query become -inf.
        """
        _core.bias_add(
            self._handle,
            logits,
            query_offset=query_offset,
            query_positions=query_positions,
            key_offset=key_offset,
            key_positions=key_positions,
            cumulative_lengths=cumulative_lengths,
            key_mask=key_mask,
            causal=causal,
            threads=threads,
        )
        return logits

    def write(
        self,
        queries: int,
        keys: int | None = None,
        *,
        batch: int = 1,
        out: npt.NDArray[Any] | None = None,
        **options: Any,
    ) -> npt.NDArray[Any]:
        """The bias and the mask as an array, (batch, H, queries, keys); other options are those of `add`."""
        if out is None:
            out = np.empty((batch, self.heads, queries, queries if keys is None else keys), np.float32)
        _core.bias_write(self._handle, out, **options)
        return out


class ALiBi(_Bias):
    """ALiBi: minus slope times distance.

    Args:
        heads: H.
        slopes: (H); None for the published ones.
        symmetric: take the distance's magnitude, for attention in both directions.
    """

    def __init__(self, heads: int, *, slopes: npt.ArrayLike | None = None, symmetric: bool = False):
        self.heads = heads
        self.symmetric = symmetric
        self._slopes = None if slopes is None else np.array(slopes, np.float64)
        self._handle = _core.bias_alibi(heads, slopes=self._slopes, symmetric=symmetric)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_alibi, (self.heads, self._slopes, self.symmetric))

    def __repr__(self) -> str:
        return f"ALiBi({self.heads}, symmetric={self.symmetric})"


def _alibi(heads: int, slopes: npt.ArrayLike | None, symmetric: bool) -> ALiBi:
    return ALiBi(heads, slopes=slopes, symmetric=symmetric)


class _TrainedBias(_Bias):
    _weights: Float32

    @property
    def weights(self) -> Float32:
        """The parameters, a copy in the shape they were given in; set it after training moved them."""
        return self._weights.copy()

    @weights.setter
    def weights(self, weights: Float32) -> None:
        copied = np.array(weights, copy=True)
        if copied.shape != self._weights.shape:
            raise ValueError(f"weights has shape {copied.shape}: expected {self._weights.shape}")
        _core.bias_set_weights(self._handle, copied)
        self._weights = copied

    def backward(
        self, logits_gradient: Array, *, out: Float32 | None = None, **options: Any
    ) -> Float32:
        """The weights' gradient, float32 of their shape, added to `out` where it is given.

        Args:
            logits_gradient: (B, H, Q, K); other options are those of `add`.
        """
        if out is None:
            out = np.zeros(self._weights.shape, np.float32)
        elif out.shape != self._weights.shape:
            raise ValueError(f"out has shape {out.shape}: expected {self._weights.shape}")
        _core.bias_backward(self._handle, logits_gradient, out, **options)
        return out


class T5Bias(_TrainedBias):
    """T5's bias: distances fall into buckets, each with a weight a head.

    Args:
        weights: float32 (buckets, H), copied.
        maximum_distance: from where on all distances share a bucket.
        bidirectional: half the buckets for keys after the query, as in an encoder.
    """

    def __init__(self, weights: Float32, *, maximum_distance: int = 128, bidirectional: bool = True):
        self.maximum_distance = maximum_distance
        self.bidirectional = bidirectional
        self._weights = np.array(weights, copy=True)
        self._handle = _core.bias_t5(
            self._weights, maximum_distance=maximum_distance, bidirectional=bidirectional
        )
        self.buckets, self.heads = self._weights.shape

    def __reduce__(self) -> tuple[Any, ...]:
        return (_t5, (self._weights, self.maximum_distance, self.bidirectional))

    def __repr__(self) -> str:
        return f"T5Bias(buckets={self.buckets}, heads={self.heads}, bidirectional={self.bidirectional})"


def _t5(weights: Float32, maximum_distance: int, bidirectional: bool) -> T5Bias:
    return T5Bias(weights, maximum_distance=maximum_distance, bidirectional=bidirectional)


class KERPLE(_TrainedBias):
    """KERPLE: `-p * ln(1 + a * n)` or `-a * n ** p` of the distance's magnitude n, with p and a trained.

    Args:
        weights: float32 (2, H), copied: p of each head, then a. Both are taken as at least 0.01, and p of the
            power kernel as at most 2.
        kernel: "logarithmic" or "power".
    """

    def __init__(self, weights: Float32, *, kernel: str = "logarithmic"):
        self.kernel = kernel
        self._weights = np.array(weights, copy=True)
        self._handle = _core.bias_kerple(self._weights, kernel=kernel)
        self.heads = self._weights.shape[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return (_kerple, (self._weights, self.kernel))

    def __repr__(self) -> str:
        return f"KERPLE(heads={self.heads}, kernel={self.kernel!r})"


def _kerple(weights: Float32, kernel: str) -> KERPLE:
    return KERPLE(weights, kernel=kernel)


class FIRE(_TrainedBias):
    """FIRE: a network of one hidden layer over a distance n in proportion to how far the query stands.

        x = ln(c * n + 1) / (ln(c * max(i, L) + 1) + epsilon), bias = w2 @ relu(w1 * x + b1) + b2

    For causal attention: a key after its query is taken at distance 0.

    Args:
        weights: float32 (2 * width + H * width + H + 2), copied: w1 (width), b1 (width), w2 (H, width), b2 (H), c,
            and the factor of L.
        heads, width: H and the units of the hidden layer.
        initial_threshold: L before its factor.
        epsilon: added to the logarithm that x is divided by.

    Raises:
        ValueError: sizes, and weights that are not finite or a c of 0.
    """

    def __init__(
        self, weights: Float32, heads: int, *, width: int = 32, initial_threshold: float = 512.0, epsilon: float = 1e-6
    ):
        self.heads = heads
        self.width = width
        self.initial_threshold = initial_threshold
        self.epsilon = epsilon
        self._weights = np.array(weights, copy=True)
        self._handle = _core.bias_fire(
            self._weights, heads, width, initial_threshold=initial_threshold, epsilon=epsilon
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return (_fire, (self._weights, self.heads, self.width, self.initial_threshold, self.epsilon))

    def __repr__(self) -> str:
        return f"FIRE(heads={self.heads}, width={self.width}, initial_threshold={self.initial_threshold!r})"


def _fire(weights: Float32, heads: int, width: int, initial_threshold: float, epsilon: float) -> FIRE:
    return FIRE(weights, heads, width=width, initial_threshold=initial_threshold, epsilon=epsilon)


class Sandwich(_Bias):
    """Sandwich: what sinusoidal positions of `dim` numbers would add to a logit, scaled by head.

    Args:
        heads: H.
        dim: the sinusoids' dim, even.
        base: of their frequencies.
    """

    def __init__(self, heads: int, *, dim: int = 128, base: float = 10000.0):
        self.heads = heads
        self.dim = dim
        self.base = base
        self._handle = _core.bias_sandwich(heads, dim=dim, base=base)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_sandwich, (self.heads, self.dim, self.base))

    def __repr__(self) -> str:
        return f"Sandwich({self.heads}, dim={self.dim}, base={self.base!r})"


def _sandwich(heads: int, dim: int, base: float) -> Sandwich:
    return Sandwich(heads, dim=dim, base=base)


class SwinBias(_TrainedBias):
    """Swin's bias: tokens stand in a window of a picture, row by row, and each difference of rows and columns has a
    weight a head.

    Args:
        weights: float32 ((2 * rows - 1) * (2 * columns - 1), H), copied.
        rows, columns: the window's.
    """

    def __init__(self, weights: Float32, rows: int, columns: int):
        self.rows = rows
        self.columns = columns
        self._weights = np.array(weights, copy=True)
        self._handle = _core.bias_swin(self._weights, rows, columns)
        self.heads = self._weights.shape[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return (SwinBias, (self._weights, self.rows, self.columns))

    def __repr__(self) -> str:
        return f"SwinBias(rows={self.rows}, columns={self.columns}, heads={self.heads})"
