"""Rotary positions from a model's configuration."""

from __future__ import annotations

import json
import os
import weakref
from typing import Any, Mapping, Optional, Union

import torch
from torch import Tensor, nn

from ._errors import call
from ._rotate import rotate

_ops = torch.ops.embedkernel
_LAYOUTS = {None: -1, "half": 0, "interleaved": 1}


class RotaryEmbedding(nn.Module):
    """The rotation of queries and keys by their positions, as a published model applies it.

    Arguments:
        config: A model's `config.json`: its path, its text, a dictionary, or an object with `to_dict()` as
            Hugging Face's configurations have. Every `rope_type` is read; a field that could change the rotation
            and isn't understood is a ValueError that names it.
        layer_type: Such as "full_attention", where layers have rotations of their own (`layer_types`).
        layout: Which elements form a pair, "half" or "interleaved"; None for the model type's.
        head_dim: Where the configuration has none.

    Shapes: queries (B, heads, T, head_dim) and keys (B, key heads, T, head_dim), or with T before the heads under
    `heads_first=False`; float32, float16 or bfloat16. Outputs have their inputs' shape and layout, and come from
    buffers that are reused. There are no parameters and no buffers: the state dict is empty.
    """

    head_dim: int
    rotary_dim: int
    base: float
    layout: str
    axes: int

    def __init__(
        self,
        config: Union[str, os.PathLike[str], Mapping[str, Any], Any],
        *,
        layer_type: Optional[str] = None,
        layout: Optional[str] = None,
        head_dim: Optional[int] = None,
    ) -> None:
        super().__init__()
        if layout not in _LAYOUTS:
            raise ValueError(f'layout must be "half", "interleaved" or None, not {layout!r}')
        self._made_of: tuple[Any, ...] = ("config", _text(config), layer_type or "", _LAYOUTS[layout], head_dim or 0)
        self._make()

    @classmethod
    def plain(
        cls, head_dim: int, *, rotary_dim: Optional[int] = None, base: float = 10_000.0, layout: str = "half"
    ) -> RotaryEmbedding:
        """A rotation without scaling, of numbers."""
        if layout not in ("half", "interleaved"):
            raise ValueError(f'layout must be "half" or "interleaved", not {layout!r}')
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made._made_of = ("plain", head_dim, rotary_dim or 0, float(base), layout == "interleaved")
        made._make()
        return made

    @staticmethod
    def layer_types(config: Union[str, os.PathLike[str], Mapping[str, Any], Any]) -> list[str]:
        """The layer types that have a rotation of their own; empty where all layers share one."""
        text: str = call(_ops.rotary_layer_types, _text(config))
        return text.split()

    def _make(self) -> None:
        kind, *arguments = self._made_of
        self.rotation: int = (
            call(_ops.rotary_from_config if kind == "config" else _ops.rotary_create, *arguments)
        )
        weakref.finalize(self, _ops.rotary_destroy, self.rotation)
        head_dim, rotary_dim, base, layout, axes, _ = _ops.rotary_numbers(self.rotation)
        self.head_dim, self.rotary_dim, self.base, self.axes = head_dim, rotary_dim, base, axes
        self.layout = "interleaved" if layout == 1 else "half"

    def forward(
        self,
        queries: Tensor,
        keys: Optional[Tensor] = None,
        *,
        position_ids: Optional[Tensor] = None,
        coordinates: Optional[Tensor] = None,
        offset: int = 0,
        heads_first: bool = True,
        length: int = 0,
    ) -> Any:
        """Turns queries, and keys where they are given.

        Arguments:
            position_ids: (B, T) or (T), int32 or int64; None for offset, offset + 1, ...
            coordinates: (axes, B, T), int32, for models of images and video.
            offset: The position of the first token, as in generation with a cache.
            length: The tokens of the whole sequence, for scalings that depend on it; 0 for as long as the highest
                position needs.

        Returns the queries, or the pair (queries, keys). Raises ValueError for shapes that don't fit, IndexError for
        positions out of range, RuntimeError for other types and devices.
        """
        turned = rotate(
            queries, self.rotation, position_ids=position_ids, coordinates=coordinates, offset=offset,
            heads_first=heads_first, length=length,
        )
        if keys is None:
            return turned
        return turned, rotate(
            keys, self.rotation, position_ids=position_ids, coordinates=coordinates, offset=offset,
            heads_first=heads_first, length=length,
        )

    def rows(self, count: int, first: int = 0) -> tuple[Tensor, Tensor]:
        """The cosines and sines of `count` positions from `first` on, each (count, rotary_dim / 2), float32, the
        attention factor included."""
        cosines, sines = call(_ops.rotary_rows, self.rotation, first, count)
        return cosines, sines

    def __getstate__(self) -> dict[str, Any]:
        # A rotation's number is of this process: copies and other processes make their own.
        state = self.__dict__.copy()
        del state["rotation"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._make()

    def extra_repr(self) -> str:
        return f"head_dim={self.head_dim}, rotary_dim={self.rotary_dim}, base={self.base}, layout={self.layout!r}"


def _text(config: Any) -> str:
    """The JSON text of a configuration."""
    if isinstance(config, str) and config.lstrip()[:1] == "{":
        return config
    if isinstance(config, (str, os.PathLike)):
        path = os.fspath(config)
        if os.path.isdir(path):
            path = os.path.join(path, "config.json")
        with open(path, encoding="utf-8") as file:
            return file.read()
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    if not isinstance(config, Mapping):
        raise TypeError(f"a configuration is a path, a JSON text, a dictionary or has to_dict(), not {type(config).__name__}")
    # Types of PyTorch stand in some configurations, and say nothing of the rotation.
    return json.dumps(dict(config), default=str)


__all__ = ["RotaryEmbedding"]
