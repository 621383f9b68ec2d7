"""Segments, normalisation and dropout in one pass, and normalisation alone."""

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
from hypothesis import given
from reference import FLOATS, batches, table_of

NORMS = st.sampled_from(["none", "layer", "rms"])


def close(found, expected, scale=2e-6):
    expected = np.asarray(expected)
    assert found.shape == expected.shape
    limit = scale * (np.abs(expected).max(initial=0) + 1)
    assert np.abs(found - expected).max(initial=0) <= limit


@given(batches(), NORMS, st.booleans(), st.booleans())
def test_forward_and_backward(sizes, kind, with_segments, with_parameters):
    vocabulary, dim, ids, rng = sizes
    table, positions = table_of(rng, vocabulary, dim), table_of(rng, ids.shape[-1], dim)
    options, x = {"norm": kind, "epsilon": 1e-3}, table[ids] + positions
    if with_segments:
        segments, segment_ids = table_of(rng, 3, dim), rng.integers(0, 3, ids.shape)
        ids = ids.astype(segment_ids.dtype)
        options |= {"segments": segments, "segment_ids": segment_ids}
        x = x + segments[segment_ids]
    gamma = beta = None
    if with_parameters and kind != "none":
        gamma, beta = table_of(rng, 1, dim)[0], table_of(rng, 1, dim)[0]
        options |= {"gamma": gamma, "beta": beta}
    result = ek.embed_fused(table, ids, positions, **options)
    close(result, reference.norm(x, kind, gamma, beta, 1e-3))

    gradient = table_of(rng, ids.size, dim).reshape(x.shape)
    rows, dgamma, dbeta, dsegments = ek.embed_fused_backward(gradient, table, ids, positions, **options)
    drows, expected_gamma, expected_beta = reference.norm_backward(gradient, x, kind, gamma, 1e-3)
    close(rows, drows, 2e-5)
    assert (dgamma is None) == (gamma is None) and (dsegments is None) == (not with_segments)
    if gamma is not None:
        close(dgamma, expected_gamma, 2e-5)
        close(dbeta, expected_beta, 2e-5)
    if with_segments:
        close(dsegments, reference.dense_backward(drows, segment_ids, 3), 2e-5)


@given(st.integers(1, 20), st.sampled_from([1, 5, 16, 100]), st.sampled_from(["layer", "rms"]), st.booleans())
def test_normalize(rows, dim, kind, with_parameters):
    rng = np.random.default_rng(rows * dim)
    x, gradient = table_of(rng, rows, dim), table_of(rng, rows, dim)
    gamma = beta = None
    if with_parameters:
        gamma, beta = table_of(rng, 1, dim)[0], table_of(rng, 1, dim)[0]
    options = {"norm": kind, "gamma": gamma, "beta": beta, "epsilon": 1e-3}
    out = np.empty_like(x)
    assert ek.normalize(x, out=out, **options) is out
    close(out, reference.norm(x, kind, gamma, beta, 1e-3))
    found = ek.normalize_backward(gradient, x, **options)
    expected = reference.norm_backward(gradient, x, kind, gamma, 1e-3)
    close(found[0], expected[0], 2e-5)
    for part, wanted in zip(found[1:], expected[1:]):
        assert (part is None) == (not with_parameters)
        if part is not None:
            close(part, wanted, 2e-5)


def test_dropout(rng):
    table, ids = table_of(rng, 50, 64), rng.integers(0, 50, (8, 16))
    options = {"dropout": 0.25, "dropout_seed": 3}
    first = ek.embed_fused(table, ids, dropout_step=1, **options)
    assert np.array_equal(first, ek.embed_fused(table, ids, dropout_step=1, threads=2, **options))
    assert not np.array_equal(first, ek.embed_fused(table, ids, dropout_step=2, **options))
    kept = first != 0
    assert 0.2 < 1 - kept.mean() < 0.3
    assert np.allclose(first[kept], (table[ids] / 0.75)[kept], rtol=1e-6)


def test_refusals(rng):
    table, ids = table_of(rng, 9, 4), np.zeros((2, 3), np.int64)
    vector = table[0].copy()
    with pytest.raises(ValueError, match="without segments"):
        ek.embed_fused(table, ids, segment_ids=ids)
    with pytest.raises(ValueError, match="without a norm"):
        ek.embed_fused(table, ids, gamma=vector)
    with pytest.raises(ValueError, match=r"gamma has shape \(3,\): expected \(4,\)"):
        ek.embed_fused(table, ids, norm="layer", gamma=vector[:3].copy())
    with pytest.raises(TypeError, match="int32: expected those of ids, int64"):
        ek.embed_fused(table, ids, segments=table, segment_ids=ids.astype(np.int32))
    with pytest.raises(IndexError) as caught:
        ek.embed_fused(table, ids, segments=table[:2].copy(), segment_ids=ids + [[0, 0, 0], [0, 2, 0]])
    assert (caught.value.id, caught.value.row, caught.value.position) == (2, 1, 1)
    for options in ({"dropout": 1.0}, {"dropout": -0.5}, {"norm": "batch"}, {"norm": "rms", "epsilon": -1.0}):
        with pytest.raises(ValueError):
            ek.embed_fused(table, ids, **options)
    with pytest.raises(ValueError):
        ek.normalize(table, norm="none")
    with pytest.raises(ValueError, match="overlap"):
        ek.normalize(table, out=table)


@given(batches(), st.sampled_from(FLOATS[1:]), st.sampled_from(FLOATS), NORMS)
def test_tables_of_sixteen_bits(sizes, dtype, written, kind):
    """The floats of the widened tables, rounded once."""
    vocabulary, dim, ids, rng = sizes
    parts = [table_of(rng, rows, dim, dtype) for rows in (vocabulary, ids.shape[-1], 3)]
    wide = [part.astype(np.float32) for part in parts]
    segment_ids = rng.integers(0, 3, ids.shape).astype(ids.dtype)
    options = {"norm": kind, "segment_ids": segment_ids, "dropout": 0.25, "dropout_seed": 1, "scale": 1.5}
    if kind != "none":
        options["gamma"] = table_of(rng, 1, dim)[0]
    expected = ek.embed_fused(wide[0], ids, wide[1], segments=wide[2], **options)
    out = np.empty(expected.shape, written)
    found = ek.embed_fused(parts[0], ids, parts[1], segments=parts[2], out=out, **options)
    assert found is out and np.array_equal(out, expected.astype(written))
    found = ek.embed_fused(parts[0], ids, parts[1], segments=parts[2], **options)
    assert found.dtype == dtype and np.array_equal(found, expected.astype(dtype))
    found = ek.embed_fused(wide[0], ids, wide[1], segments=wide[2], out=out, **options)
    assert found is out and np.array_equal(out, expected.astype(written))

    gradient = rng.standard_normal(expected.shape).astype(np.float32)
    found = ek.embed_fused_backward(gradient, parts[0], ids, parts[1], segments=parts[2], **options)
    wanted = ek.embed_fused_backward(gradient, wide[0], ids, wide[1], segments=wide[2], **options)
    for part, other in zip(found, wanted):
        assert (part is None) == (other is None)
        assert part is None or (part.dtype == np.float32 and np.array_equal(part, other))


def test_types_that_do_not_go_together(rng):
    table, ids = table_of(rng, 9, 4, np.float16), np.zeros((2, 3), np.int64)
    with pytest.raises(TypeError, match="positions has elements of float32: expected float16"):
        ek.embed_fused(table, ids, table_of(rng, 3, 4))
    with pytest.raises(TypeError, match="segments has elements of bfloat16: expected float16"):
        ek.embed_fused(table, ids, segments=table_of(rng, 2, 4, FLOATS[2]))
    with pytest.raises(TypeError, match="gamma has elements of float16: expected float32"):
        ek.embed_fused(table, ids, norm="layer", gamma=table[0].copy())
    with pytest.raises(TypeError, match="out has elements of float64"):
        ek.embed_fused(table, ids, out=np.empty((2, 3, 4)))
    with pytest.raises(ValueError, match="out has shape"):
        ek.embed_fused(table, ids, out=np.empty((2, 3, 5), np.float16))
    with pytest.raises(TypeError, match="table has elements of float64"):
        ek.embed_fused(table.astype(np.float64), ids)
