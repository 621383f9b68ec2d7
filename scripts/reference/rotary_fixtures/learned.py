"""Schemes with trained numbers, LeRoPE and PoPE, with gradients by autograd; and xPos."""

import importlib.util
from pathlib import Path

import torch
from transformers.models.llama import modeling_llama
from transformers.models.mistral_large4 import modeling_mistral_large4

from rotary_fixtures.common import drawn, in_double, listed


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
