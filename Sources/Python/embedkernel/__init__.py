"""The input-embedding layer of language models on the CPU, over NumPy arrays.

Letters in shapes: B batch, T context, V vocabulary, D dim, H heads. Tables and results are C-contiguous
arrays of float32, float16 or bfloat16 (`ml_dtypes.bfloat16`); ids are integers, copied where they are not
contiguous int32 or int64. Whatever shows itself by DLPack on the CPU, a PyTorch tensor say, is read in place.

Results of 128 KiB and more live in buffers that are kept and used again (`embedkernel.pool`). Longer calls
give the interpreter's lock back while they compute. Errors are Python's own kinds with the facts of the
fault; a failed call has written nothing.
"""

from . import errors, optim, pool
from ._core import (
    __version__,
    convert,
    embed,
    embed_fused,
    embed_fused_backward,
    from_dlpack,
    normalize,
    normalize_backward,
    renormalize,
    tied_backward,
    tied_logits,
)
from .bags import bag, bag_backward, bag_max, bag_weight_gradient
from .biases import FIRE, KERPLE, ALiBi, Sandwich, SwinBias, T5Bias
from .dlpack import dlpack
from .errors import FileFormatError, OutOfRangeError
from .files import load, load_metadata, load_npy, save, save_npy
from .gradients import Gradients, RowGradient, backward
from .layers import InputEmbedding, LayerGradient
from .library import cpu_count, get_include, get_library, info, set_threads, threads
from .quantized import ROW_FORMATS, QuantizedTable
from .rotary import Rotary
from .tables import Table
from .text import Tokenizer, Windows, save_tokens

__all__ = [
    "ALiBi",
    "FIRE",
    "FileFormatError",
    "Gradients",
    "InputEmbedding",
    "KERPLE",
    "LayerGradient",
    "OutOfRangeError",
    "QuantizedTable",
    "ROW_FORMATS",
    "Rotary",
    "RowGradient",
    "Sandwich",
    "SwinBias",
    "T5Bias",
    "Table",
    "Tokenizer",
    "Windows",
    "__version__",
    "backward",
    "bag",
    "bag_backward",
    "bag_max",
    "bag_weight_gradient",
    "convert",
    "cpu_count",
    "dlpack",
    "embed",
    "embed_fused",
    "embed_fused_backward",
    "errors",
    "from_dlpack",
    "get_include",
    "get_library",
    "info",
    "load",
    "load_metadata",
    "load_npy",
    "normalize",
    "normalize_backward",
    "optim",
    "pool",
    "renormalize",
    "save",
    "save_npy",
    "save_tokens",
    "set_threads",
    "threads",
    "tied_backward",
    "tied_logits",
]
