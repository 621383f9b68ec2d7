"""What transformers' own modules give for a configuration."""

import inspect
import os
import sys

import numpy as np
import torch

from rotary_sweep.models import configuration, is_axial

# What a module's attention calls, where it is not `apply_rotary_pos_emb`.
INTERLEAVES = {
    "axk2", "bailing_hybrid", "deepseek_v32", "dots3_note_text", "glm_moe_dsa", "longcat_flash",
    "mistral_large4_text",
}  # fmt: skip
BY_FIELD = {"deepseek_v3", "axk1", "glm4_moe_lite", "mistral4", "youtu", "sarvam_mla"}


def reference(kind, fields, layer, position):
    """Angles a position, cosines and sines at `position`, each one a pair; None where transformers
    has no answer."""
    config = configuration(kind, fields)
    if config is None:
        return None
    try:
        if layer and "layer_rope_theta" in fields:
            return None
        rotary = kind.rotary(config)
        x = torch.zeros(1, 1, 8)
        arguments = {}
        if layer and "layer_type" in inspect.signature(inspect.unwrap(rotary.forward)).parameters:
            arguments["layer_type"] = layer
        places = torch.tensor([[position]])
        if is_axial(config):
            places = torch.tensor([[position, position]])
            if kind.name == "gemma4_vision":
                places = places[None]
        if kind.name in ("gptj", "codegen"):
            sines, cosines = rotary(x, places)
            interleaved = torch.repeat_interleave
            cosines, sines = interleaved(cosines, 2, -1), interleaved(sines, 2, -1)
            inverse = [10000.0 ** (-2 * i / config.rotary_dim) for i in range(config.rotary_dim // 2)]
        elif kind.name in ("wav2vec2-bert", "wav2vec2-conformer", "seamless_m4t"):
            cosines, sines = rotary(torch.zeros(1, position + 1, 8))[:, position, 0, 0]
            inverse = rotary.inv_freq
        else:
            result = rotary(x, places, **arguments)
            if torch.is_tensor(result) and result.is_complex():
                cosines, sines = (torch.repeat_interleave(p, 2, -1) for p in (result.real, result.imag))
            else:
                cosines, sines = result
            prefix = f"{layer}_" if arguments else ""
            inverse = getattr(rotary, prefix + "inv_freq")
    except Exception as error:
        if os.environ.get("SWEEP_DEBUG") == kind.name:
            print(kind.name, layer, repr(error)[:200], file=sys.stderr)
        return None
    inverse = [float(v) for v in inverse]
    pairs = len(inverse)
    part = getattr(config, "qk_rope_head_dim", None)
    if part and kind.name != "deepseek_v4" and 2 * pairs != part:
        # The model turns a part of this width, so its own code can't run.
        return None
    cosines = np.asarray(cosines.detach().float()).reshape(-1)
    sines = np.asarray(sines.detach().float()).reshape(-1)
    axes = 1
    if is_axial(config):
        axes = 2
        inverse = inverse * 2
        pairs *= 2
        if kind.name == "gemma4_vision":
            half = pairs // 2
            pick = np.r_[0:half, pairs : pairs + half]
            return inverse, cosines[pick], sines[pick]
    if len(cosines) == pairs:
        return inverse, cosines, sines
    if len(cosines) != 2 * pairs:
        return None
    if config.model_type == "ernie4_5_vl_moe_text":
        # The module keeps its frequencies in another order than its angles.
        section = config.rope_parameters.get("mrope_section", [22, 22, 20])
        order = inverse[: 2 * section[0]]
        h, w = order[: section[0]], order[section[0] :]
        inverse = [v for pair in zip(h, w) for v in pair] + inverse[2 * section[0] :]
    halves = kind.name != "sam3_vit_model" and np.allclose(cosines[:pairs], cosines[pairs:]) and np.allclose(
        sines[:pairs], sines[pairs:]
    )
    pick = slice(0, pairs) if halves else slice(0, None, 2)
    return inverse, cosines[pick], sines[pick]


def applied(kind, fields, layer, x):
    """`x` [1, 1, T, D] rotated by the module's own function, and how its output lies."""
    config = configuration(kind, fields)
    m = kind.module
    rotary = kind.rotary(config)
    count = x.shape[2]
    places = torch.arange(count)[None]
    arguments = {}
    if layer and "layer_type" in inspect.signature(inspect.unwrap(rotary.forward)).parameters:
        arguments["layer_type"] = layer
    name = "apply_rotary_pos_emb"
    permuted = False
    if is_axial(config):
        return None
    if config.model_type in INTERLEAVES or config.model_type in BY_FIELD and config.rope_interleave:
        name, permuted = "apply_rotary_pos_emb_interleave", True
    if kind.name in ("wav2vec2-bert", "wav2vec2-conformer", "seamless_m4t", "codegen", "gptj", "clvp"):
        if kind.name not in ("codegen", "gptj"):
            return None
        sines, cosines = rotary(x, places)
        return m.apply_rotary_pos_emb(x.transpose(1, 2), sines, cosines).transpose(1, 2), False
    result = rotary(x, places, **arguments)
    if config.model_type == "deepseek_v2":
        return m.apply_rotary_emb(x, x, result)[0], False
    if config.model_type == "llama4_text":
        y = x.transpose(1, 2)
        return m.apply_rotary_emb(y, y, result)[0].transpose(1, 2), False
    if not hasattr(m, name):
        return None
    function = getattr(m, name)
    first = list(inspect.signature(function).parameters)[:2]
    y = function(x, *result) if first[1] == "cos" else function(x, x, *result)
    return (y[0] if isinstance(y, tuple) else y), permuted


def layout(kind, fields, layer, pairs):
    """Which elements form a pair, by where the first element's turn goes."""
    x = torch.zeros(1, 1, 2, 2 * pairs)
    x[..., 0] = 1
    try:
        y, permuted = applied(kind, fields, layer, x)
    except Exception:
        return None
    if permuted:
        return "interleaved"
    return {1: "interleaved", pairs: "half"}.get(int(y[0, 0, 1, 1:].abs().argmax()) + 1)
