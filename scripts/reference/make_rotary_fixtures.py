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

import contextlib
import importlib.util
import json
import platform
from pathlib import Path

import numpy as np
import torch
from transformers import (
    Gemma3TextConfig,
    LlamaConfig,
    Qwen2VLTextConfig,
    Qwen3VLTextConfig,
)
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.cohere import modeling_cohere
from transformers.models.gemma4 import modeling_gemma4
from transformers.models.llama import modeling_llama
from transformers.models.mistral_large4 import modeling_mistral_large4
from transformers.models.qwen2_vl import modeling_qwen2_vl
from transformers.models.qwen3_vl import modeling_qwen3_vl

TESTS = Path(__file__).resolve().parents[2] / "Tests"
SEED = 20_240_608
GENERATOR = torch.Generator().manual_seed(SEED)


def versions(*packages):
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "seed": SEED,
        **{name: version(name) for name in packages},
    }


@contextlib.contextmanager
def in_double():
    """fp32 by its names means fp64."""
    kept = torch.float, torch.float32, torch.Tensor.float, torch.get_default_dtype()
    torch.float = torch.float32 = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.float, torch.float32, torch.Tensor.float = kept[:3]
        torch.set_default_dtype(kept[3])


def drawn(*shape):
    """Normal values that fp32 holds exactly."""
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float32).double()


def listed(tensor):
    return tensor.detach().double().flatten().tolist()


def write(name, content, target="EmbedKernelTests"):
    folder = TESTS / target / "Fixtures/rotary"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content) + "\n")


# Scalings


def sizes(head_dim, maximum, **rest):
    return {
        "hidden_size": 8 * head_dim,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": head_dim,
        "max_position_embeddings": maximum,
        **rest,
    }


def factors(count, top):
    return [round(1 + (top - 1) * i / (count - 1), 6) for i in range(count)]


LONGROPE = {
    "rope_type": "longrope",
    "short_factor": factors(48, 2.5),
    "long_factor": factors(48, 64.0),
}
YARN = {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096}

SCALINGS = {
    "default": (sizes(128, 4096, rope_theta=10000.0), None, None),
    "base": (
        sizes(64, 4096, rope_parameters={"rope_type": "default", "rope_theta": 5e5}),
        None,
        None,
    ),
    "linear": (sizes(128, 16384, rope_scaling={"type": "linear", "factor": 4.0}), None, None),
    "dynamic within": (
        sizes(128, 4096, rope_scaling={"rope_type": "dynamic", "factor": 2.0}),
        None,
        4096,
    ),
    "dynamic 8192": (
        sizes(128, 4096, rope_scaling={"rope_type": "dynamic", "factor": 2.0}),
        None,
        8192,
    ),
    "dynamic 16384": (
        sizes(128, 4096, rope_scaling={"rope_type": "dynamic", "factor": 2.0}),
        None,
        16384,
    ),
    "yarn": (sizes(128, 65536, rope_scaling=YARN), None, None),
    "yarn gpt-oss": (
        sizes(
            64,
            131072,
            rope_theta=150000,
            rope_scaling={
                "rope_type": "yarn",
                "factor": 32.0,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "truncate": False,
                "original_max_position_embeddings": 4096,
            },
        ),
        None,
        None,
    ),
    "yarn mscale": (
        sizes(
            64, 163840, rope_scaling={**YARN, "factor": 40, "mscale": 1.0, "mscale_all_dim": 0.707}
        ),
        None,
        None,
    ),
    "yarn attention factor": (
        sizes(128, 65536, rope_scaling={**YARN, "attention_factor": 0.75}),
        None,
        None,
    ),
    "yarn partial": (
        sizes(128, 65536, partial_rotary_factor=0.5, rope_scaling=YARN),
        None,
        None,
    ),
    "longrope short": (
        sizes(96, 131072, original_max_position_embeddings=4096, rope_scaling=LONGROPE),
        None,
        4096,
    ),
    "longrope long": (
        sizes(96, 131072, original_max_position_embeddings=4096, rope_scaling=LONGROPE),
        None,
        4097,
    ),
    "longrope factor": (
        sizes(
            96,
            131072,
            rope_parameters={
                **LONGROPE,
                "rope_theta": 10000.0,
                "factor": 32.0,
                "attention_factor": 1.25,
                "original_max_position_embeddings": 8192,
            },
        ),
        None,
        9000,
    ),
    "llama3": (
        sizes(
            128,
            131072,
            rope_theta=500000.0,
            rope_scaling={
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
        ),
        None,
        None,
    ),
    "proportional": (
        sizes(
            512,
            131072,
            rope_parameters={
                "rope_type": "proportional",
                "rope_theta": 1e6,
                "partial_rotary_factor": 0.25,
            },
        ),
        None,
        None,
    ),
    "layer types, full": (
        sizes(
            256,
            131072,
            layer_types=["sliding_attention", "full_attention"],
            num_hidden_layers=2,
            rope_parameters={
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            },
        ),
        "full_attention",
        None,
    ),
    "layer types, sliding": (
        sizes(
            256,
            131072,
            layer_types=["sliding_attention", "full_attention"],
            num_hidden_layers=2,
            rope_parameters={
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            },
        ),
        "sliding_attention",
        None,
    ),
}


def scaling(name, content, layer_type, length):
    config_class = Gemma3TextConfig if layer_type else LlamaConfig
    config = config_class(**json.loads(json.dumps(content)))
    parameters = config.rope_parameters[layer_type] if layer_type else config.rope_parameters
    rope_type = parameters["rope_type"]
    with in_double():
        if rope_type == "default":
            dim = config.head_dim
            base = parameters["rope_theta"]
            frequencies, factor = 1 / base ** (torch.arange(0, dim, 2).double() / dim), 1.0
        else:
            frequencies, factor = ROPE_INIT_FUNCTIONS[rope_type](
                config, "cpu", seq_len=length, layer_type=layer_type
            )
    return {
        "name": name,
        "config": json.dumps(content),
        "layerType": layer_type,
        "length": length,
        "frequencies": listed(frequencies),
        "factor": float(factor),
    }


# Rotated tensors


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


# Learned schemes, and xPos


def lerope():
    with in_double():
        config = type("Config", (), {"max_position_embeddings": 64, "head_dim": 16})()
        config.rope_parameters = {"rope_type": "default", "rope_theta": 10000.0}
        rotary = modeling_mistral_large4.MistralLarge4TextRotaryEmbedding(config)
        rotary.alpha = torch.nn.Parameter(drawn(8) * 0.25)
        x = drawn(2, 3, 5, 16).requires_grad_()
        gradient = drawn(2, 3, 5, 16)
        cosines, sines = rotary(x, torch.arange(5)[None])
        y, _ = modeling_llama.apply_rotary_pos_emb(x, x, cosines, sines)
        (y * gradient).sum().backward()
    return {
        "shape": list(x.shape),
        "alpha": listed(rotary.alpha),
        "input": listed(x),
        "expected": listed(y),
        "outputGradient": listed(gradient),
        "inputGradient": listed(x.grad),
        "alphaGradient": listed(rotary.alpha.grad),
    }


def pope():
    from x_transformers.x_transformers import PolarEmbedding, apply_polar_pos_emb

    with in_double():
        polar = PolarEmbedding(8, 3)
        phases = (drawn(3, 1, 8) * 3 - 2).to(torch.bfloat16).double()
        polar.learned_bias = torch.nn.Parameter(phases.clone())
        x = drawn(2, 3, 5, 8).requires_grad_()
        gradients = drawn(2, 3, 5, 16), drawn(2, 3, 5, 16)
        frequencies, bias = polar(torch.arange(5))
        queries = apply_polar_pos_emb(x, frequencies)
        keys = apply_polar_pos_emb(x, frequencies + bias)
        (queries * gradients[0]).sum().backward(retain_graph=True)
        query_gradient = x.grad.clone()
        x.grad = None
        (keys * gradients[1]).sum().backward()
    return {
        "shape": list(x.shape),
        "phases": listed(phases),
        "input": listed(x),
        "queries": listed(queries),
        "keys": listed(keys),
        "queryOutputGradient": listed(gradients[0]),
        "keyOutputGradient": listed(gradients[1]),
        "queryInputGradient": listed(query_gradient),
        "keyInputGradient": listed(x.grad),
        "phaseGradient": listed(polar.learned_bias.grad),
    }


def xpos():
    # The file by itself: the package asks for libraries that this has no need of.
    folder = importlib.util.find_spec("torchscale").submodule_search_locations[0]
    path = Path(folder) / "component/xpos_relative_position.py"
    spec = importlib.util.spec_from_file_location("xpos", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with in_double():
        x = drawn(2, 9, 16).requires_grad_()
        gradient = drawn(2, 9, 16)
        rotary = module.XPOS(16)
        queries, keys = rotary(x), rotary(x, downscale=True)
        (query_gradient,) = torch.autograd.grad((queries * gradient).sum(), x)
        (key_gradient,) = torch.autograd.grad((keys * gradient).sum(), x)
    # torchscale counts decays from the middle of the sequence: -(9 // 2 + 1) is the first.
    return {
        "shape": [2, 1, 9, 16],
        "center": 5,
        "input": listed(x),
        "queries": listed(queries),
        "keys": listed(keys),
        "outputGradient": listed(gradient),
        "queryInputGradient": listed(query_gradient),
        "keyInputGradient": listed(key_gradient),
    }


# MLX


def mlx_cases():
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


def main():
    made_by = versions("transformers")
    write(
        "scalings.json",
        {"madeBy": made_by, "cases": [scaling(name, *case) for name, case in SCALINGS.items()]},
        "EmbedModelsTests",
    )
    write("rotations.json", {"madeBy": made_by, "cases": list(rotations())})
    write(
        "learned.json",
        {
            "madeBy": versions("transformers", "x-transformers", "torchscale"),
            "lerope": lerope(),
            "pope": pope(),
            "xpos": xpos(),
        },
    )
    write("mlx.json", {"madeBy": versions("mlx", "mlx-cpu"), "cases": list(mlx_cases())})


if __name__ == "__main__":
    main()
