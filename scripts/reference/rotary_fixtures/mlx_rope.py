"""Tensors rotated by MLX's `fast.rope` on its CPU device."""

import numpy as np

from rotary_fixtures.common import drawn, listed


def cases():
    import mlx.core as mx

    mx.set_default_device(mx.cpu)
    batch, heads, context, dim = 2, 1, 4, 16
    divisors = [round(1 + i / 4, 2) for i in range(6)]
    for name, traditional, dims, scale, offset, frequencies in [
        ("traditional", True, 16, 1.0, 0, None),
        ("not traditional", False, 16, 1.0, 0, None),
        ("traditional partial", True, 12, 1.0, 3, None),
        ("not traditional partial", False, 12, 1.0, 3, None),
        ("scaled", False, 16, 0.25, 9, None),
        ("offsets", True, 16, 1.0, [2, 11], None),
        ("given frequencies", False, 12, 1.0, 4, divisors),
    ]:
        x = drawn(batch, heads, context, dim).float()
        if frequencies:
            # MLX takes them as wavelengths over 2 pi.
            inverse = mx.array([f * 10000.0 ** (2 * i / dims) for i, f in enumerate(frequencies)])
        y = mx.fast.rope(
            mx.array(x.numpy()),
            dims,
            traditional=traditional,
            base=None if frequencies else 10000.0,
            scale=scale,
            offset=mx.array(offset) if isinstance(offset, list) else offset,
            freqs=inverse if frequencies else None,
        )
        yield {
            "name": name,
            "shape": [batch, heads, context, dim],
            "layout": "interleaved" if traditional else "half",
            "rotaryDim": dims,
            "scale": scale,
            "offsets": offset if isinstance(offset, list) else [offset] * batch,
            "divisors": frequencies,
            "input": listed(x),
            "expected": [float(f"{v:.9g}") for v in np.array(y).flatten().tolist()],
        }
