"""Tensors rotated by the functions of published models."""

import numpy as np
import torch
from transformers import Qwen2VLTextConfig, Qwen3VLTextConfig
from transformers.models.cohere import modeling_cohere
from transformers.models.gemma4 import modeling_gemma4
from transformers.models.llama import modeling_llama
from transformers.models.qwen2_vl import modeling_qwen2_vl
from transformers.models.qwen3_vl import modeling_qwen3_vl

from rotary_fixtures.common import GENERATOR, drawn, in_double, listed


def rotation(name, headDim, positions, axes, layout, x, y, base=10000.0):
    return {
        "name": name,
        "headDim": headDim,
        "base": base,
        "layout": layout,
        "axes": axes,
        "shape": list(x.shape),
        "positions": [int(p) for p in np.asarray(positions).flatten()],
        "input": listed(x),
        "expected": listed(y),
    }


def angles(dim, positions, base=10000.0):
    frequencies = 1 / base ** (torch.arange(0, dim, 2).double() / dim)
    return torch.tensor(positions).double()[..., None] * frequencies


def rotations():
    positions = [[0, 1, 2, 1000, 131071, 1000000], [7, 3, 3, 5, 65536, 999999]]
    x = drawn(2, 2, 6, 16)
    with in_double():
        a = angles(16, positions)
        both = torch.cat([a, a], dim=-1)
        y, _ = modeling_llama.apply_rotary_pos_emb(x, x, both.cos(), both.sin())
        yield rotation("half", 16, positions, None, "half", x, y)
        pairs = torch.repeat_interleave(a, 2, dim=-1)
        y, _ = modeling_cohere.apply_rotary_pos_emb(x, x, pairs.cos(), pairs.sin())
        yield rotation("interleaved", 16, positions, None, "interleaved", x, y)

        for name, module, make, rotary, kind, sections in [
            (
                "mrope",
                modeling_qwen2_vl,
                Qwen2VLTextConfig,
                "Qwen2VLRotaryEmbedding",
                "sections",
                [4, 6, 6],
            ),
            (
                "mrope interleaved",
                modeling_qwen3_vl,
                Qwen3VLTextConfig,
                "Qwen3VLTextRotaryEmbedding",
                "interleavedSections",
                [6, 5, 5],
            ),
        ]:
            config = make(
                hidden_size=64,
                num_attention_heads=2,
                num_key_value_heads=2,
                head_dim=32,
                rope_parameters={
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "mrope_section": sections,
                },
            )
            coordinates = torch.randint(0, 3000, (3, 2, 5), generator=GENERATOR)
            x = drawn(2, 2, 5, 32)
            cosines, sines = getattr(module, rotary)(config)(x, coordinates)
            y, _ = module.apply_rotary_pos_emb(x, x, cosines, sines)
            yield rotation(name, 32, coordinates, {kind: sections}, "half", x, y)

        coordinates = torch.randint(0, 64, (2, 2, 5), generator=GENERATOR)
        x = drawn(2, 2, 5, 32)
        config = type("Config", (), {})()
        config.rope_parameters = {"rope_type": "axial", "rope_theta": 100.0}
        config.head_dim = 32
        rotary = modeling_gemma4.Gemma4VisionRotaryEmbedding(config)
        grid = coordinates.permute(1, 2, 0)
        cosines, sines = rotary(x, grid)
        y = modeling_gemma4.apply_multidimensional_rope(
            x.transpose(1, 2), cosines, sines, grid
        ).transpose(1, 2)
        yield rotation("axial blocks", 32, coordinates, {"axialBlocks": [2]}, "half", x, y, 100.0)
        # Qwen2-VL's vision part: heights, then widths, over the whole head.
        frequencies = 1 / 10000.0 ** (torch.arange(0, 16, 2).double() / 16)
        a = torch.cat([coordinates[k].double()[..., None] * frequencies for k in range(2)], dim=-1)
        both = torch.cat([a, a], dim=-1)
        y, _ = modeling_llama.apply_rotary_pos_emb(x, x, both.cos(), both.sin())
        yield rotation("axial", 32, coordinates, {"axial": [2]}, "half", x, y)
