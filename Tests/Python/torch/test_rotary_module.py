"""`RotaryEmbedding` against the formula, its gradients, and what it refuses."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from embedkernel.torch import RotaryEmbedding

LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "rope_theta": 10000.0,
    "max_position_embeddings": 128,
}


def turned(x: torch.Tensor, places: torch.Tensor, base: float, rotary_dim: int, layout: str, factor: float = 1.0) -> torch.Tensor:
    """The rotation in double: x is (B, H, T, D), places (B, T)."""
    pairs = rotary_dim // 2
    frequency = base ** (-torch.arange(pairs, dtype=torch.float64) / pairs) / factor
    angle = places.double()[:, None, :, None] * frequency
    cosine, sine = angle.cos(), angle.sin()
    part, rest = x.double()[..., :rotary_dim], x.double()[..., rotary_dim:]
    if layout == "half":
        a, b = part[..., :pairs], part[..., pairs:]
        return torch.cat([a * cosine - b * sine, b * cosine + a * sine, rest], -1)
    a, b = part[..., ::2], part[..., 1::2]
    return torch.cat([torch.stack([a * cosine - b * sine, b * cosine + a * sine], -1).flatten(-2), rest], -1)


@given(
    st.integers(0, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 20), st.data(),
    st.sampled_from(["half", "interleaved"]), st.booleans(), st.booleans(),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16]), st.integers(0, 100),
)
def test_the_formula(
    batch: int, heads: int, context: int, half: int, data: st.DataObject, layout: str, heads_first: bool,
    given_places: bool, dtype: torch.dtype, offset: int,
) -> None:
    rotary_dim = 2 * data.draw(st.integers(1, half))
    rotary = RotaryEmbedding.plain(2 * half, rotary_dim=rotary_dim, base=500.0, layout=layout)
    x = torch.randn(batch, heads, context, 2 * half).to(dtype)
    places = torch.randint(0, 200, (batch, context)) if given_places else offset + torch.arange(context).expand(batch, -1)
    options: dict[str, Any] = {"position_ids": places} if given_places else {"offset": offset}
    given_x = x if heads_first else x.transpose(1, 2).contiguous()
    found = rotary(given_x, heads_first=heads_first, **options)
    assert found.dtype == dtype and found.shape == given_x.shape
    if not heads_first:
        found = found.transpose(1, 2)
    expected = turned(x, places, 500.0, rotary_dim, layout)
    tolerance = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}[dtype]
    assert torch.allclose(found.double(), expected, rtol=tolerance, atol=tolerance)


def test_queries_and_keys_with_fewer_heads() -> None:
    rotary = RotaryEmbedding(LLAMA)
    assert (rotary.head_dim, rotary.rotary_dim, rotary.base, rotary.layout, rotary.axes) == (16, 16, 10000.0, "half", 1)
    queries, keys = torch.randn(2, 4, 5, 16, requires_grad=True), torch.randn(2, 2, 5, 16, requires_grad=True)
    places = torch.arange(5).expand(2, -1)
    for out, x in zip(rotary(queries, keys), (queries, keys)):
        assert torch.allclose(out.double(), turned(x, places, 10000.0, 16, "half"), rtol=1e-5, atol=1e-5)
        gradient = torch.randn_like(out)
        (found,) = torch.autograd.grad(out, x, gradient)
        # The turn is orthogonal: its gradient is the turn by the negative angle.
        assert torch.allclose(found.double(), turned(gradient, -places, 10000.0, 16, "half"), rtol=1e-4, atol=1e-5)


def test_the_layout_of_attention_is_not_copied() -> None:
    rotary = RotaryEmbedding(LLAMA)
    projected = torch.randn(2, 5, 4 * 16)
    queries = projected.view(2, 5, 4, 16).transpose(1, 2)
    out = rotary(queries)
    assert out.stride() == queries.stride()
    assert torch.equal(out, rotary(queries.contiguous()))
    fused = torch.randn(2, 4, 5, 48)
    assert torch.equal(rotary(fused[..., 16:32]), rotary(fused[..., 16:32].contiguous()))


@pytest.mark.parametrize("how", ["dictionary", "text", "path", "folder", "object"])
def test_every_form_of_a_configuration(how: str, tmp_path: Path) -> None:
    config = {**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}
    (tmp_path / "config.json").write_text(json.dumps(config))

    class Configuration:
        def to_dict(self) -> dict[str, Any]:
            return config

    given_config: Any = {
        "dictionary": config, "text": json.dumps(config), "path": tmp_path / "config.json", "folder": str(tmp_path),
        "object": Configuration(),
    }[how]
    x, places = torch.randn(1, 4, 9, 16), torch.arange(9)[None]
    expected = turned(x, places, 10000.0, 16, "half", factor=4.0)
    assert torch.allclose(RotaryEmbedding(given_config)(x).double(), expected, rtol=1e-5, atol=1e-5)


def test_rows_are_the_cosines_and_sines() -> None:
    rotary = RotaryEmbedding.plain(8, base=100.0)
    cosines, sines = rotary.rows(5, first=2)
    angle = torch.arange(2, 7)[:, None].double() * 100.0 ** (-torch.arange(4).double() / 4)
    assert cosines.shape == sines.shape == (5, 4)
    assert torch.allclose(cosines.double(), angle.cos(), atol=1e-6) and torch.allclose(sines.double(), angle.sin(), atol=1e-6)


def test_layer_types() -> None:
    assert RotaryEmbedding.layer_types(LLAMA) == []


def test_copies_and_pickles() -> None:
    x = torch.randn(1, 4, 9, 16)
    for make in (lambda: RotaryEmbedding(LLAMA), lambda: RotaryEmbedding.plain(16, rotary_dim=8)):
        rotary = make()
        expected, number = rotary(x), rotary.rotation
        copies = [copy.deepcopy(rotary), pickle.loads(pickle.dumps(rotary))]
        del rotary
        for copied in copies:
            assert copied.rotation != number and torch.equal(copied(x), expected)
        with pytest.raises((ValueError, RuntimeError), match="no rotation"):
            torch.ops.embedkernel.rotate(x, number, None, None, 0, True, 0)


def test_errors_are_named() -> None:
    rotary = RotaryEmbedding(LLAMA)
    x = torch.randn(2, 4, 5, 16)
    for error, words, call in (
        (ValueError, "head dim", lambda: rotary(x[..., :8].contiguous())),
        (ValueError, "4 dimensions", lambda: rotary(x[0])),
        (RuntimeError, "float64|Double", lambda: rotary(x.double())),
        (ValueError, "exclude", lambda: rotary(x, position_ids=torch.zeros(2, 5, dtype=torch.int64), offset=1)),
        (ValueError, "position ids", lambda: rotary(x, position_ids=torch.zeros(3, 4, dtype=torch.int64))),
        (RuntimeError, "int32 or int64", lambda: rotary(x, position_ids=torch.zeros(2, 5))),
        (ValueError, "rope_type|bogus", lambda: RotaryEmbedding({**LLAMA, "rope_scaling": {"rope_type": "bogus"}})),
        (ValueError, "layout", lambda: RotaryEmbedding(LLAMA, layout="quarter")),
        (ValueError, "", lambda: RotaryEmbedding.plain(7)),
        (TypeError, "configuration", lambda: RotaryEmbedding(3)),
        (FileNotFoundError, "nowhere", lambda: RotaryEmbedding("/nowhere/config.json")),
    ):
        with pytest.raises(error, match=words):
            call()
    with pytest.raises((IndexError, ValueError)):
        rotary(x, position_ids=torch.full((2, 5), -1))
