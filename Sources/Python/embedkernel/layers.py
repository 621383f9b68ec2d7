"""The input layer: tokens, positions, segments, normalisation and dropout in one pass."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from . import _core
from ._types import Array, Float32, IDs, Path
from .gradients import RowGradient
from .tables import Table, as_table

_PARTS = ("tokens", "positions", "segments", "gamma", "beta")


class InputEmbedding:
    """`dropout(norm(scale * tokens[ids] + positions[place] + segments[segment_ids]))`, all float32.

    Args:
        tokens: (V, D), an array that the layer reads in place, or a `Table`.
        positions, segments: (maximum, D) and (S, D), or None.
        gamma, beta: (D), of the norm.
        norm: "none", "layer" or "rms".
        unknown: ids outside the vocabulary: "error", "clamp" or "zero".
        overflow: positions past the table: "error" or "clamp".
        scale: multiplies token rows.
        epsilon: of the norm.
        dropout, dropout_seed: the share of elements that becomes 0 in training.
        padding_id: an id whose row is 0 and never trained.
        positions_fixed: position rows are not trained.

    Attributes:
        tokens, positions, segments, gamma, beta: the parts as `Table`, or None. Optimisers made of these share
            them with the layer, so that it reads no row that one of them left behind.
    """

    tokens: Table
    positions: Table | None
    segments: Table | None
    gamma: Table | None
    beta: Table | None

    def __init__(
        self,
        tokens: npt.NDArray[Any] | Table,
        positions: npt.NDArray[Any] | Table | None = None,
        *,
        segments: npt.NDArray[Any] | Table | None = None,
        gamma: npt.NDArray[Any] | Table | None = None,
        beta: npt.NDArray[Any] | Table | None = None,
        norm: str = "none",
        unknown: str = "error",
        overflow: str = "error",
        scale: float = 1.0,
        epsilon: float = 1e-5,
        dropout: float = 0.0,
        dropout_seed: int = 0,
        padding_id: int | None = None,
        positions_fixed: bool = False,
    ):
        given = {
            "tokens": tokens,
            "positions": positions,
            "segments": segments,
            "gamma": gamma,
            "beta": beta,
        }
        tables = {name: as_table(part)._handle for name, part in given.items() if part is not None}
        self._options: dict[str, Any] = {
            "norm": norm,
            "unknown": unknown,
            "overflow": overflow,
            "scale": scale,
            "epsilon": epsilon,
            "dropout": dropout,
            "dropout_seed": dropout_seed,
            "padding_id": padding_id,
            "positions_fixed": positions_fixed,
        }
        self._take(_core.layer_create(**tables, **self._options))

    def _take(self, handle: Any) -> None:
        self._handle = handle
        for name in _PARTS:
            table = _core.layer_table(handle, name)
            setattr(self, name, None if table is None else Table._of_handle(table))

    @classmethod
    def load(cls, path: Path, **options: Any) -> InputEmbedding:
        """The input layer of a published model: a safetensors file, an index of shards or a folder, with the
        names of GPT-2, BERT, Llama and their kin. Options are the class's, but for the tables.

        Raises:
            FileNotFoundError, FileFormatError: what is wrong with the file.
        """
        layer = cls.__new__(cls)
        layer._take(_core.layer_load(path, **options))
        # What the file's parameters stand for where nothing else was said.
        norm = "none" if layer.gamma is None and layer.beta is None else "layer"
        if options.get("norm", "none") == "none":
            options["norm"] = norm
        layer._options = options
        return layer

    def save(self, path: Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        _core.layer_save(self._handle, path)

    def __call__(
        self,
        ids: IDs,
        *,
        segment_ids: IDs | None = None,
        training_step: int | None = None,
        out: Float32 | None = None,
        **place: Any,
    ) -> Float32:
        """The input embeddings of a batch, float32 (..., T, D).

        Args:
            ids: (..., T).
            segment_ids: the ids' shape; None for segment 0.
            training_step: which dropout mask to take; None drops nothing.
            out: float32 (..., T, D).
            place: `offset`, `position_ids`, `cumulative_lengths` or `mask`, as in `embed`; `threads`.
        """
        return _core.layer_forward(
            self._handle,
            ids,
            segment_ids=segment_ids,
            training_step=training_step,
            out=out,
            **place,
        )

    def backward(
        self,
        output_gradient: Array,
        ids: IDs,
        *,
        segment_ids: IDs | None = None,
        training_step: int | None = None,
        into: LayerGradient | None = None,
        **place: Any,
    ) -> LayerGradient:
        """The gradients of a batch from that of the output; other arguments are the forward's.

        Args:
            into: gradients whose memory is used again. Those of tokens and positions replace what was there;
                those of segments, gamma and beta are added to it until `clear`.
        """
        gradient = LayerGradient(self) if into is None else into
        _core.layer_backward(
            self._handle,
            gradient._handle,
            output_gradient,
            ids,
            segment_ids=segment_ids,
            training_step=training_step,
            **place,
        )
        return gradient

    def __reduce__(self) -> tuple[Any, ...]:
        tables = {name: getattr(self, name) for name in _PARTS}
        return (_layer, ({name: part for name, part in tables.items() if part is not None}, self._options))

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)!r}" for name in _PARTS if getattr(self, name))
        return f"InputEmbedding({parts})"


def _layer(tables: dict[str, Any], options: dict[str, Any]) -> InputEmbedding:
    for name in ("gamma", "beta"):
        if name in tables:
            tables[name] = tables[name].numpy()[0]
    return InputEmbedding(**tables, **options)


class LayerGradient:
    """The gradients of a layer's parts; each property copies."""

    def __init__(self, layer: InputEmbedding):
        self._layer = layer
        self._handle = _core.layer_gradient(layer._handle)

    def _rows(self, part: str) -> RowGradient | None:
        table: Table | None = getattr(self._layer, part)
        if table is None:
            return None
        rows, values = _core.layer_gradient_part(self._handle, part)
        assert rows is not None
        return RowGradient(rows, values, table.shape)

    def _dense(self, part: str) -> Float32 | None:
        if getattr(self._layer, part) is None:
            return None
        return _core.layer_gradient_part(self._handle, part)[1]

    @property
    def tokens(self) -> RowGradient:
        rows = self._rows("tokens")
        assert rows is not None
        return rows

    @property
    def positions(self) -> RowGradient | None:
        return self._rows("positions")

    @property
    def segments(self) -> Float32 | None:
        """(S, D)"""
        return self._dense("segments")

    @property
    def gamma(self) -> Float32 | None:
        """(D)"""
        gamma = self._dense("gamma")
        return None if gamma is None else gamma[0]

    @property
    def beta(self) -> Float32 | None:
        """(D)"""
        beta = self._dense("beta")
        return None if beta is None else beta[0]

    def clear(self) -> None:
        """Forgets what was added up."""
        _core.layer_gradient_clear(self._handle)
