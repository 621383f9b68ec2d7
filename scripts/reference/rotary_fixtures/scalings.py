"""Frequencies of Hugging Face's rope types, by transformers."""

import json

import torch
from transformers import Gemma3TextConfig, LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from rotary_fixtures.common import in_double, listed


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


def cases():
    return [scaling(name, *case) for name, case in SCALINGS.items()]
