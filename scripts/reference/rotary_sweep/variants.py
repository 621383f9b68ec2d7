"""The configurations that each model type is tried with."""

import inspect
import json

from rotary_sweep.models import SWITCHES, configuration, layers, made
from rotary_sweep.reference import reference

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
        part = whole.get_text_config(decoder=True)
        for field in whole.sub_configs_defaults:
            if getattr(whole, field, None) is part:
                yield "part", {**base, field: {}}
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
        yield "old linear alone", {**base, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
        yield "old linear by type", {**base, "rope_scaling": {"type": "linear", "factor": 2.0}}
        by_layer = [k for k, v in parameters.items() if isinstance(v, dict)]
        yield "nested linear by type", {
            **base, "rope_parameters": {k: {"type": "linear", "factor": 2.0} for k in by_layer},
        }  # fmt: skip
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
