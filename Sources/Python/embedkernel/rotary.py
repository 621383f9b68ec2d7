"""Rotary positions of queries and keys."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from . import _core
from ._types import Array, Float32, IDs, Path


class Rotary:
    """A rotation of queries and keys by their tokens' positions.

    Args:
        head_dim: elements of a head's vector, even.
        rotary_dim: the first elements that turn, even; None for all.
        base: such as 10000.
        layout: which elements form a pair: "halves" (i and i + rotary_dim / 2), or "interleaved" (2i and 2i + 1).
        scaling: the rule for contexts past the trained ones, with its numbers, as `rope_parameters` of a
            `config.json` have it: `rope_type` of "linear", "ntk", "dynamic", "yarn", "ntk-by-parts", "llama3",
            "longrope" or "proportional"; `factor`; `original_max_position_embeddings`; `attention_factor`,
            `beta_fast`, `beta_slow`, `truncate`; `low_freq_factor`, `high_freq_factor`; `short_factor`,
            `long_factor`; `partial_rotary_factor`. `from_config` reads a model's own, which takes more from
            around it.

    Raises:
        ValueError: a size, a number or a name that is out of range, unknown or missing.

    Attributes:
        axes: coordinates of a token: 1, or 2 or 3 for images and video.
        turns_backward: the model turns by the negative angle.
        attention_factor: what scalings such as YaRN multiply cosines and sines by.
    """

    def __init__(
        self,
        head_dim: int,
        *,
        rotary_dim: int | None = None,
        base: float = 10000.0,
        layout: str = "halves",
        scaling: Mapping[str, Any] | None = None,
    ):
        options = {"rotary_dim": rotary_dim, "base": base, "layout": layout}
        if scaling is not None:
            options |= _scaling_options(scaling)
        self._made_by: tuple[Any, ...] = (_core.rotary_create, (head_dim,), options)
        self._make()

    def _make(self) -> None:
        function, arguments, options = self._made_by
        self._handle = function(*arguments, **options)
        facts = _core.rotary_info(self._handle)
        self.head_dim, self.rotary_dim, self.base, self.layout = facts[:4]
        self.axes, self.turns_backward, self.attention_factor = facts[4:]

    @classmethod
    def from_config(
        cls,
        config: Path | Mapping[str, Any],
        *,
        layer_type: str | None = None,
        layout: str | None = None,
        head_dim: int | None = None,
    ) -> Rotary:
        """The rotation of a published model, with its scaling (linear, dynamic, YaRN, LongRoPE, llama3, ...).

        Args:
            config: the path of a `config.json` or of its folder, or what it holds as a dict.
            layer_type: such as "full_attention" where layers have rotations of their own.
            layout: where the model type's is not meant.
            head_dim: where the configuration has none.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a field that is missing, unknown or out of range, by name.
        """
        rotary = cls.__new__(cls)
        options = {"layer_type": layer_type, "layout": layout, "head_dim": head_dim}
        rotary._made_by = (_core.rotary_from_config, (_config_text(config),), options)
        rotary._make()
        return rotary

    @staticmethod
    def layer_types(config: Path | Mapping[str, Any]) -> list[str]:
        """The layer types that have a rotation of their own; empty where all layers share one."""
        return _core.rotary_layer_types(_config_text(config)).splitlines()

    def rotate(
        self,
        input: Array,
        *,
        offset: int | Array | None = None,
        position_ids: IDs | None = None,
        cumulative_lengths: IDs | None = None,
        mask: Array | None = None,
        coordinates: Array | None = None,
        out: npt.NDArray[Any] | None = None,
        direction: str = "forward",
        order: str = "heads-first",
        length: int | None = None,
        backend: str = "auto",
        threads: int = 0,
    ) -> npt.NDArray[Any]:
        """Turns each head's vector by its token's position.

        Args:
            input: (B, H, T, head_dim), or (B, T, H, head_dim) with `order="context-first"`; without B, or
                without B and H, it is one batch, one head. float32, float16 or bfloat16.
            offset, position_ids, cumulative_lengths, mask: where tokens stand, as in `embed`.
            coordinates: int32 (axes, B, T) for models whose tokens have several.
            out: the same shape and type; may be `input`, for a turn in place.
            direction: "backward" takes output gradients to input gradients.
            length: tokens of the whole sequence, for scalings that depend on it; None for as long as the
                highest position needs.
        """
        return _core.rotary_rotate(
            self._handle,
            input,
            out=out,
            offset=offset,
            position_ids=position_ids,
            cumulative_lengths=cumulative_lengths,
            mask=mask,
            coordinates=coordinates,
            direction=direction,
            order=order,
            length=length,
            backend=backend,
            threads=threads,
        )

    def rows(self, count: int, *, first: int = 0) -> tuple[Float32, Float32]:
        """Cosines and sines of `count` positions from `first` on, each float32 (count, rotary_dim / 2), with
        the attention factor in them."""
        return _core.rotary_rows(self._handle, first, count)

    def __getstate__(self) -> dict[str, Any]:
        function, arguments, options = self._made_by
        return {"function": function.__name__, "arguments": arguments, "options": options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._made_by = (getattr(_core, state["function"]), state["arguments"], state["options"])
        self._make()

    def __repr__(self) -> str:
        return (
            f"Rotary(head_dim={self.head_dim}, rotary_dim={self.rotary_dim}, base={self.base!r}, "
            f"layout={self.layout!r})"
        )


#: What each type needs, then what it may have, by the names of `config.json`.
_SCALINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default": ((), ()),
    "linear": (("factor",), ()),
    "ntk": (("factor",), ()),
    "dynamic": (("factor", "original_max_position_embeddings"), ()),
    "yarn": (
        ("factor", "original_max_position_embeddings"),
        ("attention_factor", "beta_fast", "beta_slow", "truncate"),
    ),
    "ntk-by-parts": (("factor", "original_max_position_embeddings"), ("beta_fast", "beta_slow", "truncate")),
    "llama3": (("factor", "original_max_position_embeddings"), ("low_freq_factor", "high_freq_factor")),
    "longrope": (
        ("short_factor", "long_factor", "original_max_position_embeddings", "factor"),
        ("attention_factor",),
    ),
    "proportional": (("partial_rotary_factor",), ("factor",)),
}
#: The names that the core has for them.
_NUMBERS = {
    "factor": "factor",
    "original_max_position_embeddings": "trained_length",
    "attention_factor": "attention_factor",
    "beta_fast": "fast_turns",
    "beta_slow": "slow_turns",
    "low_freq_factor": "low_frequency_factor",
    "high_freq_factor": "high_frequency_factor",
    "partial_rotary_factor": "proportion",
    "short_factor": "short_factors",
    "long_factor": "long_factors",
}


def _scaling_options(scaling: Mapping[str, Any]) -> dict[str, Any]:
    """The core's names for a scaling's numbers; what is missing or unknown is refused."""
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind not in _SCALINGS:
        raise ValueError(f"rope_type is {kind!r}: expected {', '.join(_SCALINGS)}")
    needed, optional = _SCALINGS[kind]
    for name in needed:
        if scaling.get(name) is None:
            raise ValueError(f"{name} is missing, which rope_type {kind!r} needs")
    options: dict[str, Any] = {"scaling": "none" if kind == "default" else kind}
    for name, value in scaling.items():
        if name in ("rope_type", "type") or value is None:
            continue
        if name not in needed + optional:
            raise ValueError(f"{name} is no number of rope_type {kind!r}")
        if name == "truncate":
            options["exact_ramp"] = not value
        elif name.endswith("_factor") and name.startswith(("short", "long")):
            options[_NUMBERS[name]] = tuple(map(float, value))
        else:
            options[_NUMBERS[name]] = value
    return options


def _config_text(config: Path | Mapping[str, Any]) -> str:
    if isinstance(config, Mapping):
        return json.dumps(dict(config))
    path = os.fspath(config)
    if os.path.isdir(path):
        path = os.path.join(path, "config.json")
    with open(path, encoding="utf-8") as file:
        return file.read()
