#!/usr/bin/env python3
"""Holds rotary settings from `config.json` to transformers: over every model type there with a rotary
embedding, the angles, cosines, sines and pairs that the library's own modules give, against those of
`embedkernel positions rotary --config` and `embedkernel rotate --config`.

    python -m venv .venv && .venv/bin/pip install -r scripts/reference/requirements-rotary-sweep.txt
    swift build --product embedkernel
    .venv/bin/python scripts/reference/sweep_rotary.py .build/debug/embedkernel

Each type is tried with its default configuration, in full and with fields left out, and with variants:
each scheme under the older and the newer names, partial factors, other head dims, each layer type, a
sequence past the trained length. A comparison is equal, refused by name (an error of ours), or wrong;
wrong must be 0. What transformers itself can't do is not compared. `--write FILE` keeps a part of the
comparisons as the tests' fixture.
"""

import argparse
import collections
import concurrent.futures
import copy
import importlib
import inspect
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import numpy as np
import torch
import transformers
from transformers import PreTrainedConfig
from transformers.utils import logging

logging.set_verbosity(50)
MODELS = pathlib.Path(transformers.__file__).parent / "models"

# Types whose model is another module's.
MODULES = {
    "exaone": "llama",
    "internlm3": "llama",
    "iquestcoder": "llama",
    "sarvam_mla": "deepseek_v3",
    "sarvam_moe": "glm4_moe",
}
# Rotary classes of modules with more than one for the type.
CLASSES = {
    "qwen3_omni_moe_talker_text": "Qwen3OmniMoeTalkerRotaryEmbedding",
    "qwen3_omni_moe_talker_code_predictor": "Qwen3OmniMoeRotaryEmbedding",
    "qwen2_5_omni_text": "Qwen2_5OmniRotaryEmbedding",
    "qwen2_5_omni_talker": "Qwen2_5OmniRotaryEmbedding",
}
# What a module's attention calls, where it is not `apply_rotary_pos_emb`.
INTERLEAVES = {
    "axk2", "bailing_hybrid", "deepseek_v32", "dots3_note_text", "glm_moe_dsa", "longcat_flash",
    "mistral_large4_text",
}  # fmt: skip
BY_FIELD = {"deepseek_v3", "axk1", "glm4_moe_lite", "mistral4", "youtu", "sarvam_mla"}
# Fields without which a type's layers have no rotation, and which its defaults leave off.
SWITCHES = {
    "esm": {"position_embedding_type": "rotary"},
    "wav2vec2-bert": {"position_embeddings_type": "rotary"},
    "wav2vec2-conformer": {"position_embeddings_type": "rotary"},
    "seamless_m4t": {"position_embeddings_type": "rotary"},
    "zamba2": {"use_mem_rope": True},
}

# A type, its classes, and for the text part of a model with several the whole's class.
Type = collections.namedtuple("Type", "name config rotary module whole", defaults=[None])


def types():
    """The model types with a rotary module, then those that hold one of these as their text part."""
    parts = {}
    for kind in single_types():
        if kind.name not in parts and text_part(kind.config)[1] is None:
            parts[kind.name] = kind
            yield kind
    for folder in sorted(MODELS.iterdir()):
        for path in sorted(folder.glob("configuration_*.py")):
            module = importlib.import_module(f"transformers.models.{folder.name}.{path.stem}")
            for config in vars(module).values():
                if not (inspect.isclass(config) and issubclass(config, PreTrainedConfig)):
                    continue
                if config.__module__ != module.__name__ or config.model_type in ("", *parts):
                    continue
                part = text_part(config)[1]
                kind = parts.get(part.model_type) if part is not None else None
                if kind:
                    yield Type(config.model_type, type(part), kind.rotary, kind.module, config)


def text_part(config):
    """A model with several parts and the one that is meant, or None."""
    whole = made(config, {})
    if whole is None or not config.sub_configs_defaults:
        return whole, None
    try:
        part = whole.get_text_config(decoder=True)
    except ValueError:
        return whole, None
    return whole, part if part is not whole else None


def configuration(kind, fields):
    """The configuration that the rotary module takes."""
    fields = {k: v for k, v in fields.items() if k != "model_type"}
    if not kind.whole:
        return made(kind.config, fields)
    whole = made(kind.whole, fields)
    if whole is None:
        return None
    part = whole.get_text_config(decoder=True)
    try:
        part.allow_global_per_layer_attribute_access = True
    except Exception:
        pass
    return part


def single_types():
    for folder in sorted(MODELS.iterdir()):
        rotaries = None
        for path in sorted(folder.glob("configuration_*.py")):
            module = importlib.import_module(f"transformers.models.{folder.name}.{path.stem}")
            for config in vars(module).values():
                if not (inspect.isclass(config) and issubclass(config, PreTrainedConfig)):
                    continue
                if config.__module__ != module.__name__ or not config.model_type:
                    continue
                name = MODULES.get(config.model_type, folder.name)
                found = rotary_classes(name)
                pick = choose(config, found)
                if pick:
                    yield Type(config.model_type, config, *pick)


CACHE = {}


def rotary_classes(folder):
    if folder in CACHE:
        return CACHE[folder]
    found = []
    for path in sorted((MODELS / folder).glob("modeling_*.py")):
        if not re.search("otary|RoPE|Rope", path.read_text()):
            continue
        try:
            module = importlib.import_module(f"transformers.models.{folder}.{path.stem}")
        except ImportError:
            continue
        for name, item in vars(module).items():
            if (
                inspect.isclass(item)
                and issubclass(item, torch.nn.Module)
                and re.search("Rotary|RoPE|Rope", name)
                and "Attention" not in name
                and item.__module__ == module.__name__
            ):
                parameter = inspect.signature(item.__init__).parameters.get("config")
                annotation = parameter.annotation if parameter else None
                found.append((item, module, getattr(annotation, "__name__", str(annotation))))
    CACHE[folder] = found
    return found


def choose(config, found):
    if config.model_type in CLASSES:
        found = [f for f in found if f[0].__name__ == CLASSES[config.model_type]]
    else:
        exact = [f for f in found if f[2].split(" | ")[0].strip("'\"") == config.__name__]
        instance = made(config, {})
        if not exact and not any(
            hasattr(instance, a) for a in ("rope_parameters", "rotary_embedding_base")
        ):
            return None
        vision = "Vision" in config.__name__
        found = exact or [f for f in found if ("Vision" in f[0].__name__) == vision]
    return found[0][:2] if found else None


def made(config, fields):
    try:
        value = config(**copy.deepcopy(fields))
        try:
            value.allow_global_per_layer_attribute_access = True
        except Exception:
            pass
        return value
    except Exception:
        return None


def is_axial(config):
    parameters = getattr(config, "rope_parameters", None)
    return isinstance(parameters, dict) and parameters.get("rope_type") == "axial"


# Reference


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


# What goes into the fixture besides each type's own defaults.
KEPT = {
    "deepseek_v3", "deepseek_v4", "gemma3_text", "gemma4_text", "glm", "gpt_oss",
    "hunyuan_v1_dense", "lfm3", "llama", "modernbert", "neomme", "olmo3", "phi", "phimoe", "qwen3",
    "qwen3_next", "step3p5",
}  # fmt: skip
KEPT_VARIANTS = {
    "old yarn", "old dynamic", "old llama3 equal", "nested linear", "alpha", "mscale",
    "partial beside", "head_dim 96", "local base", "global base",
}  # fmt: skip

# Variants

SCHEMES = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 32},
    "yarn mscale": {
        "factor": 40.0, "original_max_position_embeddings": 4096, "mscale": 0.707,
        "mscale_all_dim": 1.0, "beta_fast": 16, "beta_slow": 2,
    },
    "llama3": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "llama3 equal": {
        "factor": 16.0, "low_freq_factor": 1.0, "high_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
    },
    "longrope": {"factor": 4.0, "original_max_position_embeddings": 64},
    "proportional": {"partial_rotary_factor": 0.25},
}  # fmt: skip


def scheme(name, pairs):
    fields = {"rope_type": name.split()[0], **SCHEMES[name]}
    if name == "longrope":
        fields["short_factor"] = [1 + i / 8 for i in range(pairs)]
        fields["long_factor"] = [1 + i / 2 for i in range(pairs)]
    return fields


def variants(kind):
    """(name, fields) of each configuration to try."""
    base = {"model_type": kind.name, **SWITCHES.get(kind.name, {})}
    if kind.whole:
        whole = made(kind.whole, {})
        yield "full", {**json.loads(json.dumps(whole.to_dict(), default=str)), **base}
        yield "sparse", base
        return
    default = configuration(kind, base)
    if default is None:
        return
    full = json.loads(json.dumps(default.to_dict(), default=str))
    yield "full", {**full, "model_type": kind.name}
    yield "sparse", base
    yield "diff", {**json.loads(json.dumps(default.to_diff_dict(), default=str)), **base}
    parameters = full.get("rope_parameters")
    first = reference(kind, base, layers(default)[0], 1)
    pairs = len(first[0]) if first else 32
    yield "base", {**base, "rope_theta": 123456.0}
    for field, value in [("head_dim", 96), ("head_dim", None)]:
        yield f"head_dim {value}", {**base, field: value}
    hidden = getattr(default, "hidden_size", None)
    heads = getattr(default, "num_attention_heads", None)
    if isinstance(hidden, int) and isinstance(heads, int):
        yield "hidden_size", {**base, "hidden_size": heads * 48, "num_attention_heads": heads}
    if hasattr(default, "qk_rope_head_dim"):
        yield "qk_rope_head_dim", {**base, "qk_rope_head_dim": 32}
    flat = {"max_position_embeddings": 64}
    yield "partial beside", {**base, "partial_rotary_factor": 0.5}
    nested = isinstance(parameters, dict) and any(isinstance(v, dict) for v in parameters.values())
    for name in SCHEMES:
        yield f"old {name}", {
            **base, **flat, "rope_theta": 50000.0, "rope_scaling": scheme(name, pairs),
        }  # fmt: skip
        if not nested and name in ("dynamic", "yarn"):
            yield f"new {name}", {
                **base, **flat, "rope_parameters": {**scheme(name, pairs), "rope_theta": 50000.0},
            }  # fmt: skip
    if nested:
        for name in SCHEMES:
            changed = {
                k: {**scheme(name, pairs), "rope_theta": 777.0} if isinstance(v, dict) else v
                for k, v in parameters.items()
            }
            if "layer_types" in full:
                yield f"nested {name}", {
                    **base, **flat, "layer_types": full["layer_types"],
                    "num_hidden_layers": len(full["layer_types"]), "rope_parameters": changed,
                }  # fmt: skip
    else:
        yield "partial inside", {
            **base,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
            },
        }  # fmt: skip
        yield "old partial linear", {
            **base, "partial_rotary_factor": 0.5, "rope_scaling": {"type": "linear", "factor": 2.0},
        }  # fmt: skip
    if kind.name.startswith("hunyuan_v1"):
        yield "alpha", {
            **base, "head_dim": 128, "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0},
        }  # fmt: skip
    if kind.name == "phimoe":
        yield "mscale", {
            **base,
            "rope_scaling": {
                **scheme("longrope", pairs), "short_mscale": 1.243163121016122,
                "long_mscale": 1.243163121016122,
            },
        }  # fmt: skip
    for pct in (0.5, 1.0):
        if kind.name.startswith("gpt_neox"):
            yield f"rotary_pct {pct}", {**base, "rotary_pct": pct, "rotary_emb_base": 5000}
    if "rope_local_base_freq" in str(inspect.getsource(kind.config)):
        yield "local base", {**base, "rope_theta": 2e6, "rope_local_base_freq": 5000.0}
    if "global_rope_theta" in str(inspect.getsource(kind.config)):
        yield "global base", {**base, "global_rope_theta": 2e5, "local_rope_theta": 5000.0}


def layers(config):
    """The layer types with a rotation each, or no one."""
    parameters = getattr(config, "rope_parameters", None)
    if not isinstance(parameters, dict):
        return [None]
    found = [k for k, v in parameters.items() if isinstance(v, dict)]
    types = getattr(config, "layer_types", None) or found
    return [k for k in found if k in types or k in ("main", "compress")] or [None]


# Ours


class Ours:
    def __init__(self, command):
        self.command = command
        self.folder = tempfile.mkdtemp()
        self.count = 0

    def run(self, *arguments):
        return subprocess.run(
            [self.command, *arguments], capture_output=True, text=True, timeout=60
        )

    def rows(self, path, layer, position):
        output = f"{path}.{position}.{layer}.npy"
        extra = ["--layer-type", layer] if layer else []
        result = self.run(
            "positions", "rotary", "--config", path, *extra, "--context", "1",
            "--position-offset", str(position), "--output", output,
        )  # fmt: skip
        if result.returncode != 0:
            return result.returncode, result.stderr.strip().splitlines()[-1:]
        values = np.load(output)
        os.unlink(output)
        return values[:, 0]

    def rotated(self, path, layer, x):
        np.save(f"{path}.q.npy", x)
        extra = ["--layer-type", layer] if layer else []
        result = self.run(
            "rotate", "--config", path, *extra, "--input", f"{path}.q.npy", "--output",
            f"{path}.out.npy",
        )  # fmt: skip
        if result.returncode != 0:
            return result.returncode, result.stderr.strip().splitlines()[-1:]
        return np.load(f"{path}.out.npy")


POSITIONS = (7, 99)


def compare(ours, kind, name, fields, fixture):
    """Comparisons of one configuration: (equal, refused or wrong, details)."""
    config = configuration(kind, fields)
    if config is None:
        return
    path = f"{ours.folder}/{kind.name}.{name.replace(' ', '_')}.json"
    with open(path, "w") as file:
        json.dump(fields, file)
    for layer in layers(config):
        # Of most schemes the angles don't depend on the length.
        lengths = re.search("dynamic|longrope|^mscale|alpha", name)
        for position in POSITIONS if lengths else POSITIONS[:1]:
            right = reference(kind, fields, layer, position)
            if right is None:
                continue
            label = f"{name}{f', {layer}' if layer else ''}, position {position}"
            got = ours.rows(path, layer, position)
            if isinstance(got, tuple):
                yield ("refused" if got[0] == 1 else "wrong"), label, got[1]
                continue
            inverse, cosines, sines = (np.asarray(v, dtype=np.float64) for v in right)
            scale = max(1.0, np.abs(cosines).max())
            if got.shape[1] != len(inverse):
                yield "wrong", label, f"{got.shape[1]} pairs, right {len(inverse)}"
                continue
            angle = np.abs(got[0] - position * inverse) / np.maximum(position * np.abs(inverse), 1e-30)
            angle = angle[inverse != 0].max(initial=0)
            # Transformers' cosines are of an angle in float32.
            bound = 2e-5 * scale
            distance = max(np.abs(got[1] - cosines).max(), np.abs(got[2] - sines).max())
            if angle > 3e-5 or distance > bound:
                yield "wrong", label, f"angles differ by {angle:.2g}, cosines and sines {distance:.2g}"
                continue
            fixture(kind, name, fields, layer, position, inverse, cosines, sines)
            yield "equal", label, None
    if name not in ("full", "sparse"):
        return
    for layer in layers(config)[:1]:
        right = reference(kind, fields, layer, 1)
        if right is None:
            continue
        generator = torch.Generator().manual_seed(1)
        dim = 2 * len(right[0])
        width = getattr(config, "head_dim", None)
        if width is None and hasattr(config, "num_attention_heads"):
            width = config.hidden_size // config.num_attention_heads
        if hasattr(config, "qk_rope_head_dim"):
            # The part that is turned, by itself.
            width = dim
        width = width if isinstance(width, int) and width > dim else dim
        x = torch.rand(1, 1, 3, width, generator=generator)
        try:
            outcome = applied(kind, fields, layer, x)
        except Exception:
            # Attention itself passes on what is past the rotated elements.
            try:
                y, permuted = applied(kind, fields, layer, x[..., :dim])
                outcome = torch.cat([y, x[..., dim:]], dim=-1), permuted
            except Exception:
                outcome = None
        if outcome is None:
            continue
        expected, permuted = outcome
        got = ours.rotated(path, layer, x.numpy())
        if isinstance(got, tuple):
            yield ("refused" if got[0] == 1 else "wrong"), f"{name}, rotate", got[1]
            continue
        if permuted:
            got = np.concatenate([got[..., 0::2], got[..., 1::2]], axis=-1)
        distance = np.abs(got - expected.detach().numpy()).max()
        yield ("equal" if distance < 1e-5 else "wrong"), f"{name}, rotate", f"{distance:.2g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("command")
    parser.add_argument("--types", help="only these, separated by commas")
    parser.add_argument("--write", help="the tests' fixture")
    parser.add_argument("--all", action="store_true", help="name every refusal")
    options = parser.parse_args()
    ours = Ours(options.command)
    totals = collections.Counter()
    kept = []

    def fixture(kind, name, fields, layer, position, inverse, cosines, sines):
        if not options.write or position != POSITIONS[0]:
            return
        if name != "sparse" and not (kind.name in KEPT and name in KEPT_VARIANTS):
            return
        kept.append(
            {
                "name": f"{kind.name}, {name}",
                "config": json.dumps(fields, separators=(",", ":")),
                "layerType": layer,
                "pairs": len(inverse),
                "second": float(f"{inverse[min(1, len(inverse) - 1)]:.6g}"),
                "last": float(f"{inverse[-1]:.6g}"),
                "cosine": float(f"{cosines[0]:.6g}"),
                "sine": float(f"{sines[-1]:.6g}"),
                "layout": layout(kind, fields, layer, len(inverse)),
            }
        )

    kinds = [k for k in types() if not options.types or k.name in options.types.split(",")]
    seen = set()
    kinds = [k for k in kinds if not (k.name in seen or seen.add(k.name))]

    def work(kind):
        lines = []
        for name, fields in variants(kind):
            lines += list(compare(ours, kind, name, fields, fixture))
        return kind, lines

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for kind, lines in pool.map(work, kinds):
            counts = collections.Counter(line[0] for line in lines)
            totals.update(counts)
            print(
                f"{kind.name:40} equal {counts['equal']:3}  refused {counts['refused']:3}"
                f"  wrong {counts['wrong']:3}"
            )
            for verdict, label, detail in lines:
                if verdict == "wrong" or verdict == "refused" and options.all:
                    print(f"    {verdict}: {label}: {detail}")
    print(
        f"{len(kinds)} model types, {sum(totals.values())} comparisons: equal {totals['equal']},"
        f" refused by name {totals['refused']}, wrong {totals['wrong']}"
    )
    if options.write:
        with open(options.write, "w") as file:
            kept.sort(key=lambda case: (case["name"], case["layerType"] or ""))
            cases = ",\n".join(json.dumps(case, separators=(",", ":")) for case in kept)
            made_by = json.dumps(f"transformers {transformers.__version__}")
            file.write(f'{{"madeBy": {made_by}, "cases": [\n{cases}\n]}}\n')
    sys.exit(totals["wrong"] > 0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
