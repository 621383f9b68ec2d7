"""The layer as a whole: forward, gradients, files, optimisers that share its tables."""

import pickle

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
from hypothesis import given
from reference import batches, table_of


def parts_of(rng, vocabulary, dim, context, kind):
    parts = {
        "tokens": table_of(rng, vocabulary, dim),
        "positions": table_of(rng, context, dim),
        "segments": table_of(rng, 2, dim),
    }
    if kind != "none":
        parts |= {"gamma": table_of(rng, 1, dim)[0].copy(), "beta": table_of(rng, 1, dim)[0].copy()}
    return parts


@given(batches(), st.sampled_from(["none", "layer", "rms"]))
def test_forward_and_backward(sizes, kind):
    vocabulary, dim, ids, rng = sizes
    ids = ids.astype(np.int64)
    parts = parts_of(rng, vocabulary, dim, ids.shape[-1], kind)
    layer = ek.InputEmbedding(**parts, norm=kind, epsilon=1e-3)
    segment_ids = rng.integers(0, 2, ids.shape)
    x = parts["tokens"][ids] + parts["positions"] + parts["segments"][segment_ids]
    gamma, beta = parts.get("gamma"), parts.get("beta")
    result = layer(ids, segment_ids=segment_ids)
    assert np.allclose(result, reference.norm(x, kind, gamma, beta, 1e-3), rtol=1e-4, atol=1e-4)
    gradient = rng.standard_normal(x.shape).astype(np.float32)
    found = layer.backward(gradient, ids, segment_ids=segment_ids)
    rows, dgamma, dbeta = reference.norm_backward(gradient, x, kind, gamma, 1e-3)
    limit = {"rtol": 1e-3, "atol": 1e-3 * (np.abs(rows).max() + 1)}
    assert np.allclose(found.tokens.dense(), reference.dense_backward(rows, ids, vocabulary), **limit)
    assert np.allclose(found.positions.dense(), rows.reshape(-1, *rows.shape[-2:]).sum(0), **limit)
    assert np.allclose(found.segments, reference.dense_backward(rows, segment_ids, 2), **limit)
    if kind == "none":
        assert found.gamma is None and found.beta is None
    else:
        limit["atol"] = 1e-3 * (np.abs(dgamma).max() + np.abs(dbeta).max() + 1)
        assert np.allclose(found.gamma, dgamma, **limit) and np.allclose(found.beta, dbeta, **limit)
    before = found.segments.copy()
    layer.backward(gradient, ids, segment_ids=segment_ids, into=found)
    assert np.allclose(found.segments, 2 * before, rtol=1e-4, atol=1e-3)
    found.clear()
    assert not found.segments.any()


def test_it_reads_the_arrays_in_place(rng):
    tokens = table_of(rng, 9, 4)
    layer = ek.InputEmbedding(tokens)
    assert layer.positions is None and layer.tokens.shape == (9, 4)
    tokens[3] = 7
    assert np.array_equal(layer([3]), [[7, 7, 7, 7]])


def test_optimizers_share_its_tables(rng):
    layer = ek.InputEmbedding(ek.Table.normal(30, 8, seed=1), ek.Table.zeros(4, 8))
    expected = ek.InputEmbedding(layer.tokens.numpy(copy=True), layer.positions.numpy(copy=True))
    lazy = ek.optim.AdamW(layer.tokens, 0.05, untouched="caught-up")
    dense = ek.optim.AdamW(expected.tokens, 0.05, untouched="stepped")
    for _ in range(10):
        ids = rng.integers(0, 30, (2, 4))
        assert np.allclose(layer(ids), expected(ids), atol=1e-6)
        gradient = rng.standard_normal((2, 4, 8)).astype(np.float32)
        lazy.step(layer.backward(gradient, ids).tokens)
        dense.step(expected.backward(gradient, ids).tokens)
    assert np.allclose(layer.tokens.rows(range(30)), expected.tokens.numpy(), atol=1e-6)


def test_saved_and_loaded(tmp_path, rng):
    layer = ek.InputEmbedding(**parts_of(rng, 9, 8, 4, "layer"), norm="layer")
    layer.save(tmp_path / "layer.safetensors")
    again = ek.InputEmbedding.load(tmp_path / "layer.safetensors")
    ids = rng.integers(0, 9, (2, 4))
    assert np.array_equal(again(ids), layer(ids))
    for copy in (pickle.loads(pickle.dumps(layer)), pickle.loads(pickle.dumps(again))):
        assert np.array_equal(copy(ids), layer(ids))
    with pytest.raises(FileNotFoundError):
        ek.InputEmbedding.load(tmp_path / "none.safetensors")


def test_gpt2s_names(tmp_path, rng):
    tokens, positions = table_of(rng, 9, 8), table_of(rng, 4, 8)
    ek.save(tmp_path / "model.safetensors", {"wte.weight": tokens, "wpe.weight": positions})
    layer = ek.InputEmbedding.load(tmp_path / "model.safetensors")
    ids = rng.integers(0, 9, (2, 4))
    assert np.array_equal(layer(ids), tokens[ids] + positions)


def test_dropout_and_padding(rng):
    layer = ek.InputEmbedding(table_of(rng, 9, 64), padding_id=2, dropout=0.5, dropout_seed=1)
    assert not layer([[2, 2]]).any()
    ids = rng.integers(3, 9, (4, 8))
    assert (layer(ids) != 0).all()
    assert 0.3 < (layer(ids, training_step=1) == 0).mean() < 0.7


def test_refusals(rng):
    with pytest.raises(ValueError):
        ek.InputEmbedding(table_of(rng, 9, 4), table_of(rng, 9, 5))
    layer = ek.InputEmbedding(table_of(rng, 9, 4), table_of(rng, 3, 4))
    with pytest.raises(ek.OutOfRangeError) as caught:
        layer([[1, 2], [3, 9]])
    assert (caught.value.row, caught.value.position, caught.value.id) == (1, 1, 9)
    with pytest.raises(IndexError):
        layer([[1, 2, 3, 4]])
    with pytest.raises(ValueError):
        layer.backward(np.zeros((1, 2, 5), np.float32), [[1, 2]])
