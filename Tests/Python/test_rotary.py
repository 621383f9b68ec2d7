"""Rotation against its formula."""

import json
import pickle

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
from hypothesis import given
from reference import FLOATS


@given(
    st.sampled_from(["halves", "interleaved"]), st.sampled_from(FLOATS), st.booleans(), st.booleans(),
    st.booleans(), st.integers(0, 30),
)
def test_rotate(layout, dtype, partial, context_first, in_place, seed):
    rng = np.random.default_rng(seed)
    batch, heads, context = (int(size) for size in rng.integers(1, 5, 3))
    rotary = ek.Rotary(16, rotary_dim=8 if partial else None, base=500.0, layout=layout)
    x = rng.standard_normal((batch, heads, context, 16)).astype(np.float32).astype(dtype)
    places = rng.integers(0, 50, (batch, context))
    given_x = x.transpose(0, 2, 1, 3).copy() if context_first else x.copy()
    order = "context-first" if context_first else "heads-first"
    out = given_x if in_place else None
    result = rotary.rotate(given_x, position_ids=places, order=order, out=out)
    assert not in_place or result is given_x
    expected = reference.rotate(x, places, 500.0, 8 if partial else None, layout)
    found = result.transpose(0, 2, 1, 3) if context_first else result
    tolerance = 1e-5 if dtype == np.float32 else 2e-2
    assert np.allclose(found.astype(np.float64), expected, rtol=tolerance, atol=tolerance)
    back = rotary.rotate(result, position_ids=places, order=order, direction="backward")
    back = back.transpose(0, 2, 1, 3) if context_first else back
    assert np.allclose(back.astype(np.float64), x.astype(np.float64), rtol=2 * tolerance, atol=2 * tolerance)


def test_fewer_dimensions(rng):
    rotary = ek.Rotary(8)
    x = rng.standard_normal((2, 3, 5, 8)).astype(np.float32)
    whole = rotary.rotate(x, offset=4)
    assert np.array_equal(rotary.rotate(x[0].copy(), offset=4), whole[0])
    assert np.array_equal(rotary.rotate(x[0, 0].copy(), offset=4), whole[0, 0])


def test_rows():
    cosines, sines = ek.Rotary(8, base=100.0).rows(5, first=2)
    angles = np.arange(2, 7)[:, None] * 100.0 ** (-np.arange(0, 8, 2) / 8)
    assert np.allclose(cosines, np.cos(angles), atol=1e-6) and np.allclose(sines, np.sin(angles), atol=1e-6)


LLAMA = {
    "model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "rope_theta": 10000.0,
    "max_position_embeddings": 128,
}


def test_from_config(tmp_path, rng):
    scaled = {**LLAMA, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}
    rotary = ek.Rotary.from_config(scaled)
    assert (rotary.head_dim, rotary.rotary_dim, rotary.layout, rotary.axes) == (16, 16, "halves", 1)
    (tmp_path / "config.json").write_text(json.dumps(scaled))
    x = rng.standard_normal((1, 2, 9, 16)).astype(np.float32)
    expected = reference.rotate(x, np.arange(9)[None] / 4)
    for config in (scaled, tmp_path, str(tmp_path / "config.json")):
        assert np.allclose(ek.Rotary.from_config(config).rotate(x), expected, atol=1e-5)
    again = pickle.loads(pickle.dumps(rotary))
    assert np.array_equal(again.rotate(x), rotary.rotate(x)) and repr(again) == repr(rotary)
    assert ek.Rotary.layer_types(scaled) == []


FACTORS = {"short_factor": [1.0 + i / 8 for i in range(8)], "long_factor": [2.0 + i for i in range(8)]}


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "default"},
        {"rope_type": "linear", "factor": 4.0},
        {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 128},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "attention_factor": 1.25,
         "beta_fast": 16.0, "beta_slow": 2.0, "truncate": False},
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 64},
        {"rope_type": "longrope", "factor": 4.0, "original_max_position_embeddings": 32, **FACTORS},
    ],
    ids=lambda scaling: "-".join(map(str, list(scaling.values())[:3])),
)
@pytest.mark.parametrize("positions", [9, 200])
def test_scalings_are_those_of_a_model(scaling, positions):
    """As `from_config` has them, which is tested against the transformers library."""
    config = {**LLAMA, "rope_scaling": scaling}
    if scaling["rope_type"] == "longrope":
        config |= {"max_position_embeddings": 128, "original_max_position_embeddings": 32, "model_type": "phi3"}
    named = ek.Rotary(16, base=10000.0, scaling=scaling)
    model = ek.Rotary.from_config(config)
    assert named.attention_factor == model.attention_factor
    for found, expected in zip(named.rows(positions), model.rows(positions)):
        assert np.array_equal(found, expected)
    x = np.random.default_rng(1).standard_normal((1, 2, positions, 16)).astype(np.float32)
    assert np.array_equal(named.rotate(x), model.rotate(x))
    again = pickle.loads(pickle.dumps(named))
    assert np.array_equal(again.rotate(x), named.rotate(x))


def test_scalings_by_their_formulas():
    places = np.arange(7)[:, None]
    angles = 100.0 ** (-np.arange(0, 8, 2) / 8)

    def cosines(**scaling):
        return ek.Rotary(8, base=100.0, scaling=scaling).rows(7)[0]

    stretched = (100.0 * 3 ** (8 / 6)) ** (-np.arange(0, 8, 2) / 8)
    assert np.allclose(cosines(rope_type="ntk", factor=3.0), np.cos(places * stretched), atol=1e-6)
    half = np.where(np.arange(4) < 2, angles / 2, 0)
    assert np.allclose(
        cosines(rope_type="proportional", partial_rotary_factor=0.5, factor=2.0), np.cos(places * half), atol=1e-6)
    parts = cosines(rope_type="ntk-by-parts", factor=4.0, original_max_position_embeddings=64)
    yarn = ek.Rotary(
        8, base=100.0, scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64})
    assert yarn.attention_factor == pytest.approx(0.1 * np.log(4) + 1)
    assert np.allclose(yarn.rows(7)[0], parts * yarn.attention_factor, atol=1e-6)


@pytest.mark.parametrize(
    "scaling, message",
    [
        ({"rope_type": "wild"}, "rope_type is 'wild'"),
        ({}, "rope_type is None"),
        ({"rope_type": "linear"}, "factor is missing"),
        ({"rope_type": "linear", "factor": 2.0, "beta_fast": 3.0}, "beta_fast is no number"),
        ({"rope_type": "linear", "factor": 0.0}, "factor"),
        ({"rope_type": "linear", "factor": float("inf")}, "factor"),
        ({"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 64.5}, "whole"),
        ({"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 0}, "trained"),
        ({"rope_type": "longrope", "factor": 2.0, "original_max_position_embeddings": 8, "short_factor": [1.0],
          "long_factor": [1.0, 2.0]}, "long_factors has 2"),
        ({"rope_type": "longrope", "factor": 2.0, "original_max_position_embeddings": 8, "short_factor": [1.0],
          "long_factor": [1.0]}, "factors"),
        ({"rope_type": "proportional", "partial_rotary_factor": 1.5}, "proportion"),
        ({"rope_type": "llama3", "factor": 2.0, "original_max_position_embeddings": 64, "low_freq_factor": 5.0},
         "[hH]igh"),
    ],
)
def test_scalings_that_are_refused(scaling, message):
    with pytest.raises(ValueError, match=message):
        ek.Rotary(8, scaling=scaling)


def test_refusals(tmp_path, rng):
    with pytest.raises(FileNotFoundError):
        ek.Rotary.from_config(tmp_path / "none.json")
    with pytest.raises(ValueError, match="rope_type|factor"):
        ek.Rotary.from_config({**LLAMA, "rope_scaling": {"rope_type": "wild", "factor": 4.0}})
    with pytest.raises(ValueError):
        ek.Rotary.from_config({})
    for options in ({"head_dim": 7}, {"head_dim": 8, "rotary_dim": 10}, {"head_dim": 8, "base": -1.0}):
        with pytest.raises(ValueError):
            ek.Rotary(**options)
    with pytest.raises(ValueError, match="layout"):
        ek.Rotary(8, layout="spiral")
    rotary, x = ek.Rotary(8), np.zeros((1, 1, 4, 8), np.float32)
    with pytest.raises(ValueError, match="input has shape"):
        rotary.rotate(np.zeros((1, 1, 4, 6), np.float32))
    with pytest.raises((ValueError, IndexError)):
        rotary.rotate(x, position_ids=[0, 1, -2, 3])
    with pytest.raises(TypeError):
        rotary.rotate(x.astype(np.float64))
    with pytest.raises(ValueError, match="C-contiguous"):
        rotary.rotate(x.transpose(0, 2, 1, 3)[:, ::2])
