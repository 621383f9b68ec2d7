"""Bags against plain loops in float64."""

import embedkernel as ek
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from reference import FLOATS


def starts_of(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def pool(table, ids, lengths, mode="sum", weights=None, padding=None):
    """(rows, winners) by the definition."""
    starts = starts_of(lengths)
    rows = np.zeros((len(lengths), table.shape[1]))
    winners = np.full(rows.shape, -1)
    for bag in range(len(lengths)):
        places = [j for j in range(starts[bag], starts[bag + 1]) if ids[j] != padding]
        if not places:
            continue
        chosen = table[ids[places]].astype(np.float64)
        if weights is not None:
            chosen = chosen * weights[places].astype(np.float64)[:, None]
        if mode == "max":
            rows[bag] = chosen.max(0)
            winners[bag] = np.array(places)[chosen.argmax(0)]
        else:
            rows[bag] = chosen.sum(0) / (len(places) if mode == "mean" else 1)
    return rows, winners


def table_gradient(gradient, ids, lengths, vocabulary, mode, weights, padding, by_frequency, winners):
    starts = starts_of(lengths)
    made = np.zeros((vocabulary, gradient.shape[1]))
    counts = np.bincount(ids, minlength=vocabulary)
    for bag in range(len(lengths)):
        places = [j for j in range(starts[bag], starts[bag + 1]) if ids[j] != padding]
        for j in places:
            factor = 1.0 if weights is None else float(weights[j])
            if mode == "mean":
                factor /= len(places)
            if by_frequency:
                factor /= counts[ids[j]]
            seen = winners[bag] == j if mode == "max" else 1
            made[ids[j]] += factor * gradient[bag] * seen
    return made


@st.composite
def calls(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    lengths = np.array(draw(st.lists(st.sampled_from([0, 0, 1, 2, 3, 17, 90]), min_size=1, max_size=8)))
    vocabulary, dim = int(rng.integers(1, 40)), int(draw(st.sampled_from([1, 3, 16, 32, 33, 100])))
    ids = rng.integers(0, vocabulary, lengths.sum()).astype(draw(st.sampled_from([np.int32, np.int64])))
    table = rng.standard_normal((vocabulary, dim)).astype(np.float32).astype(draw(st.sampled_from(FLOATS)))
    mode = draw(st.sampled_from(["sum", "mean", "max"]))
    weights = rng.standard_normal(len(ids)).astype(np.float32) if mode == "sum" and draw(st.booleans()) else None
    padding = int(rng.integers(0, vocabulary)) if draw(st.booleans()) else None
    return table, ids, lengths, mode, weights, padding, rng


def shapes_of(lengths, how, rng):
    """The lengths as the arguments that say them, of either width."""
    width = rng.choice([np.int32, np.int64])
    starts = starts_of(lengths).astype(width)
    return {
        "offsets": {"offsets": starts[:-1]},
        "last": {"offsets": starts, "include_last_offset": True},
        "lengths": {"lengths": lengths.astype(width)},
    }[how]


def tolerance_of(dtype):
    return {2: 2e-2, 4: 2e-5}[np.dtype(dtype).itemsize]


@given(calls(), st.sampled_from(["offsets", "last", "lengths"]), st.booleans())
def test_forward(call, how, with_out):
    table, ids, lengths, mode, weights, padding, rng = call
    expected, winners = pool(table, ids, lengths, mode, weights, padding)
    out = np.full(expected.shape, np.nan, np.float32) if with_out else None
    given = {**shapes_of(lengths, how, rng), "mode": mode, "weights": weights, "padding_id": padding}
    found = ek.bag(table, ids, out=out, **given)
    assert found is out if with_out else found.dtype == table.dtype
    tolerance = tolerance_of(found.dtype)
    assert np.allclose(found.astype(np.float64), expected, rtol=tolerance, atol=20 * tolerance)
    one = ek.bag(table, ids, threads=1, **given)
    two = ek.bag(table, ids, threads=2, **given)
    assert one.tobytes() == two.tobytes()
    if mode == "max":
        rows, won = ek.bag_max(table, ids, **shapes_of(lengths, how, rng), padding_id=padding)
        assert won.dtype == np.int32 and np.array_equal(won, winners)
        assert rows.tobytes() == one.tobytes()


@given(calls(), st.sampled_from(["offsets", "last", "lengths"]), st.booleans(), st.booleans())
def test_backward(call, how, sparse, by_frequency):
    table, ids, lengths, mode, weights, padding, rng = call
    by_frequency = by_frequency and mode != "max"
    given = {**shapes_of(lengths, how, rng), "mode": mode, "weights": weights, "padding_id": padding}
    winners = None
    if mode == "max":
        winners = ek.bag_max(table, ids, **shapes_of(lengths, how, rng), padding_id=padding)[1]
    gradient = rng.standard_normal((len(lengths), table.shape[1])).astype(np.float32)
    expected = table_gradient(
        gradient, ids, lengths, len(table), mode, weights, padding, by_frequency, winners)
    found = ek.bag_backward(
        gradient, ids, len(table), winners=winners, sparse=sparse, scale_by_frequency=by_frequency, **given)
    if sparse:
        assert isinstance(found, ek.RowGradient) and np.all(np.diff(found.rows) > 0)
        assert padding not in found.rows
        found = found.dense()
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-4)
    if not sparse:
        doubled = ek.bag_backward(
            gradient, ids, len(table), winners=winners, token_out=found.copy(), accumulate=True,
            scale_by_frequency=by_frequency, **given)
        assert np.allclose(doubled, 2 * found, rtol=1e-4, atol=1e-4)


@given(calls(), st.sampled_from(["offsets", "last", "lengths"]))
def test_weight_gradient(call, how):
    table, ids, lengths, _, _, padding, rng = call
    gradient = rng.standard_normal((len(lengths), table.shape[1])).astype(np.float32)
    found = ek.bag_weight_gradient(gradient, table, ids, padding_id=padding, **shapes_of(lengths, how, rng))
    bags = np.repeat(np.arange(len(lengths)), lengths)
    expected = (gradient[bags].astype(np.float64) * table[ids].astype(np.float64)).sum(1)
    expected[ids == padding] = 0
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("by_frequency", [False, True])
def test_steps(mode, by_frequency, rng):
    if mode == "max" and by_frequency:
        pytest.skip("a maximum has no frequencies")
    start = rng.standard_normal((12, 5)).astype(np.float32)
    ids, given = rng.integers(0, 12, 20), {"offsets": [0, 3, 3, 9], "mode": mode, "padding_id": 4}
    gradient = rng.standard_normal((4, 5)).astype(np.float32)
    winners = ek.bag_max(start, ids, offsets=[0, 3, 3, 9], padding_id=4)[1] if mode == "max" else None
    weights = rng.standard_normal(20).astype(np.float32) if mode == "sum" else None
    tables = start.copy(), start.copy()
    optimizers = [ek.optim.SGD(table, 0.5) for table in tables]
    rows = ek.bag_backward(
        gradient, ids, 12, weights=weights, winners=winners, scale_by_frequency=by_frequency, **given)
    optimizers[0].step(rows, scale=0.25)
    optimizers[1].step_bags(
        gradient, ids, weights=weights, winners=winners, scale=0.25, scale_by_frequency=by_frequency, **given)
    assert np.allclose(tables[0], tables[1], rtol=1e-6, atol=1e-6) and not np.array_equal(tables[0], start)
    with pytest.raises(ValueError, match="output_gradient has shape"):
        optimizers[0].step_bags(gradient[:3], ids, **given)
    with pytest.raises(IndexError):
        optimizers[0].step_bags(gradient, ids + 9, weights=weights, winners=winners, **given)


def test_rectangles(rng):
    table, ids = rng.standard_normal((9, 5)).astype(np.float32), rng.integers(0, 9, (4, 3))
    for mode in ("sum", "mean", "max"):
        flat = ek.bag(table, ids.reshape(-1), lengths=[3] * 4, mode=mode, padding_id=2)
        assert np.array_equal(ek.bag(table, ids, mode=mode, padding_id=2), flat)
    weights = rng.standard_normal((4, 3)).astype(np.float32)
    flat = ek.bag(table, ids.reshape(-1), lengths=[3] * 4, weights=weights.reshape(-1))
    assert np.array_equal(ek.bag(table, ids, weights=weights), flat)
    gradient = np.ones((4, 5), np.float32)
    assert ek.bag_weight_gradient(gradient, table, ids).shape == (4, 3)
    assert np.array_equal(ek.bag(table, np.zeros((3, 0), np.int64)), np.zeros((3, 5)))
    assert ek.bag(table, np.zeros((0, 3), np.int64)).shape == (0, 5)
    # Other integers and strides are copied, as in `embed`.
    assert np.array_equal(ek.bag(table, ids.astype(np.uint8)[:, ::2].T), ek.bag(table, ids[:, ::2].T.copy()))
    assert np.array_equal(ek.bag(table, [[1, 2]]), ek.bag(table, np.array([[1, 2]])))


def test_unknown_ids(rng):
    table = rng.standard_normal((5, 4)).astype(np.float32)
    with pytest.raises(ek.OutOfRangeError) as caught:
        ek.bag(table, [0, 1, 2, 7], offsets=[0, 2])
    assert (caught.value.id, caught.value.row, caught.value.position) == (7, 1, 1)
    assert isinstance(caught.value, IndexError)
    clamped = ek.bag(table, [[7, -3]], unknown="clamp")
    assert np.array_equal(clamped, ek.bag(table, [[4, 0]]))
    assert np.array_equal(ek.bag(table, [[7, 1]], unknown="zero", mode="mean"), table[1:2] / 2)


@pytest.mark.parametrize(
    "ids, options, message",
    [
        ([0, 1], {}, "dimensions"),
        ([[0, 1]], {"offsets": [0]}, "dimensions"),
        ([0, 1], {"offsets": [0], "lengths": [2]}, "both"),
        ([0, 1], {"lengths": [2], "include_last_offset": True}, "include_last_offset"),
        ([0, 1], {"offsets": [], "include_last_offset": True}, "empty"),
        ([0, 1], {"offsets": [1]}, "offset 0"),
        ([0, 1], {"offsets": [0, 2, 1]}, "offset 2"),
        ([0, 1], {"offsets": [0, 3]}, "offset 1"),
        ([0, 1], {"offsets": [0, -1]}, "offset 1"),
        ([0, 1], {"offsets": [0, 1], "include_last_offset": True}, "offset 1"),
        ([0, 1], {"lengths": [1]}, "ids"),
        ([0, 1], {"lengths": [3]}, "length 0"),
        ([0, 1], {"lengths": [-1, 3]}, "length 0"),
        ([0, 1], {"offsets": [[0]]}, "offsets has shape"),
        ([[0, 1]], {"mode": "median"}, "mode"),
        ([[0, 1]], {"padding_id": -1}, "padding_id"),
        ([[0, 1]], {"weights": np.ones(2, np.float32)}, "weights has shape"),
        ([[0, 1]], {"weights": np.ones((1, 2), np.float32), "mode": "mean"}, "weights"),
        ([[0, 1]], {"out": np.zeros((2, 3), np.float32)}, "out has shape"),
    ],
)
def test_refusals(ids, options, message):
    with pytest.raises(ValueError, match=message):
        ek.bag(np.ones((5, 3), np.float32), ids, **options)


def test_refusals_of_types():
    table = np.ones((5, 3), np.float32)
    for wrong in (
        lambda: ek.bag(table.astype(np.float64), [[1]]),
        lambda: ek.bag(table, [[1.5]]),
        lambda: ek.bag(table, [[1]], weights=np.ones((1, 1))),
        lambda: ek.bag(table, [[1]], out=np.zeros((1, 3))),
        lambda: ek.bag_backward(np.ones((1, 3)), [[1]], 5),
    ):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(ValueError, match="C-contiguous"):
        ek.bag(table.T, [[1]])
    with pytest.raises(ValueError):
        ek.bag(table, [[1]], out=table[:1])
    with pytest.raises(ValueError, match="winners"):
        ek.bag_backward(np.ones((1, 3), np.float32), [[1]], 5, mode="max")
    with pytest.raises(ValueError, match="vocabulary"):
        ek.bag_backward(np.ones((1, 3), np.float32), [[1]], 0)
    # Nothing was written.
    out = np.full((1, 3), 7, np.float32)
    with pytest.raises(IndexError):
        ek.bag(table, [[9]], out=out)
    assert (out == 7).all()
