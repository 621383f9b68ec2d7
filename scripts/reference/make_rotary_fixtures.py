#!/usr/bin/env python3
"""Writes the reference values of the rotary schemes, by the libraries that define them.

    python -m venv .venv && .venv/bin/pip install -r scripts/requirements/fixtures.txt
    .venv/bin/python scripts/reference/make_rotary_fixtures.py

Tests/EmbedModelsTests/Fixtures/rotary/ gets:

scalings.json   frequencies of Hugging Face's rope types: `config` is the text of a config.json,
                `layerType` and `length` (of the sequence) may be null; `frequencies` and `factor`
                are what transformers computes

Tests/EmbedKernelTests/Fixtures/rotary/ gets:

rotations.json  rotated tensors [batch, heads, context, headDim] by the models' own functions
learned.json    LeRoPE (transformers) and PoPE (x-transformers) with gradients by autograd, and xPos
                (torchscale)
mlx.json        rotated tensors [batch, heads, context, headDim] by MLX's `fast.rope` on its CPU
                device: both layouts, partial, scaled, offsets by sequence, given frequencies

The libraries compute in fp32. Here their own code runs in Double instead: the names they use for
fp32 mean fp64 while it runs, so that the values are good to 15 digits. MLX's angles stay fp32, so
its positions are small ones, where that costs less than 1e-6.
"""

from rotary_fixtures import learned, mlx_rope, rotations, scalings
from rotary_fixtures.common import versions, write


def main():
    made_by = versions("transformers")
    write(
        "scalings.json",
        {"madeBy": made_by, "cases": scalings.cases()},
        "EmbedModelsTests",
    )
    write("rotations.json", {"madeBy": made_by, "cases": list(rotations.rotations())})
    write(
        "learned.json",
        {
            "madeBy": versions("transformers", "x-transformers", "torchscale"),
            "lerope": learned.lerope(),
            "pope": learned.pope(),
            "xpos": learned.xpos(),
        },
    )
    write("mlx.json", {"madeBy": versions("mlx", "mlx-cpu"), "cases": list(mlx_rope.cases())})


if __name__ == "__main__":
    main()
