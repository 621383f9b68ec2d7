"""The model types of transformers with a rotary embedding, and their configurations."""

import collections
import copy
import importlib
import inspect
import os
import pathlib
import re
import warnings

warnings.filterwarnings("ignore")
os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

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


def layers(config):
    """The layer types with a rotation each, or no one."""
    parameters = getattr(config, "rope_parameters", None)
    if not isinstance(parameters, dict):
        return [None]
    found = [k for k, v in parameters.items() if isinstance(v, dict)]
    types = getattr(config, "layer_types", None) or found
    return [k for k in found if k in types or k in ("main", "compress")] or [None]
