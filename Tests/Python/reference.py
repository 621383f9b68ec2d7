"""What results are held to: plain NumPy, in float64 where rounding may differ."""

import hypothesis.strategies as st
import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = [np.dtype(np.float32), np.dtype(np.float16), BFLOAT16]


def table_of(rng, rows, dim, dtype=np.float32):
    return rng.standard_normal((rows, dim)).astype(np.float32).astype(dtype)


def positions_of(batch, context, *, offset=None, position_ids=None, cumulative_lengths=None, mask=None):
    """Each token's position, (B, T)."""
    columns = np.broadcast_to(np.arange(context), (batch, context))
    if offset is not None:
        return columns + np.reshape(offset, (-1, 1))
    if position_ids is not None:
        return np.broadcast_to(position_ids, (batch, context))
    if cumulative_lengths is not None:
        flat = np.arange(batch * context)
        starts = np.asarray(cumulative_lengths)
        begun = starts[np.searchsorted(starts, flat, side="right") - 1]
        return (flat - begun).reshape(batch, context)
    if mask is not None:
        real = np.asarray(mask).astype(bool)
        before = np.cumsum(real, axis=1) - real
        return np.where(real, before, 0)
    return columns


def embed(table, ids, positions=None, *, scale=1.0, **place):
    rows = table[ids].astype(np.float32) * np.float32(scale)
    if positions is not None:
        two = ids.reshape(-1, ids.shape[-1])
        at = positions_of(*two.shape, **place).reshape(ids.shape)
        rows = rows + positions[at].astype(np.float32)
    return rows.astype(table.dtype)


def norm(x, kind, gamma=None, beta=None, epsilon=1e-5):
    x = x.astype(np.float64)
    if kind == "layer":
        x = x - x.mean(-1, keepdims=True)
    if kind != "none":
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)
    if gamma is not None:
        x = x * gamma
    return x if beta is None else x + beta


def norm_backward(gradient, x, kind, gamma=None, epsilon=1e-5):
    """Gradients of input, gamma and beta."""
    gradient, x = gradient.astype(np.float64), x.astype(np.float64)
    if kind == "none":
        return gradient, None, None
    centred = x - x.mean(-1, keepdims=True) if kind == "layer" else x
    inverse = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + epsilon)
    unit = centred * inverse
    g = gradient if gamma is None else gradient * gamma
    inner = g - unit * (g * unit).mean(-1, keepdims=True)
    if kind == "layer":
        inner = inner - g.mean(-1, keepdims=True)
    axes = tuple(range(x.ndim - 1))
    return inner * inverse, (gradient * unit).sum(axes), gradient.sum(axes)


def dense_backward(gradient, ids, vocabulary, *, scale=1.0, padding_id=None, by_frequency=False):
    dim = gradient.shape[-1]
    sums = np.zeros((vocabulary, dim), np.float64)
    flat, rows = np.asarray(ids).reshape(-1), gradient.reshape(-1, dim).astype(np.float64)
    np.add.at(sums, flat, rows * scale)
    if by_frequency:
        counts = np.bincount(flat, minlength=vocabulary)
        sums /= np.maximum(counts, 1)[:, None]
    if padding_id is not None:
        sums[padding_id] = 0
    return sums


def rotate(x, position_ids, base=10000.0, rotary_dim=None, layout="halves", backward=False):
    """(B, H, T, head_dim), positions (B, T)."""
    rotary_dim = rotary_dim or x.shape[-1]
    frequencies = base ** (-np.arange(0, rotary_dim, 2) / rotary_dim)
    angles = np.asarray(position_ids)[:, None, :, None] * frequencies
    if backward:
        angles = -angles
    cosines, sines = np.cos(angles), np.sin(angles)
    out = x.astype(np.float64).copy()
    turned = out[..., :rotary_dim]
    if layout == "halves":
        first, second = np.split(x[..., :rotary_dim].astype(np.float64), 2, -1)
        turned[..., : rotary_dim // 2] = first * cosines - second * sines
        turned[..., rotary_dim // 2 :] = first * sines + second * cosines
    else:
        first, second = x[..., 0:rotary_dim:2].astype(np.float64), x[..., 1:rotary_dim:2].astype(np.float64)
        turned[..., 0::2] = first * cosines - second * sines
        turned[..., 1::2] = first * sines + second * cosines
    return out


@st.composite
def batches(draw, most=6):
    """Sizes of a call: (V, D, ids of one to three dimensions)."""
    vocabulary = draw(st.integers(1, 40))
    dim = draw(st.sampled_from([1, 2, 3, 7, 8, 16, 31, 64, 65, 129]))
    shape = tuple(draw(st.lists(st.integers(1, most), min_size=1, max_size=3)))
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    dtype = draw(st.sampled_from([np.int32, np.int64, np.uint8, np.int16]))
    return vocabulary, dim, rng.integers(0, vocabulary, shape).astype(dtype), rng
