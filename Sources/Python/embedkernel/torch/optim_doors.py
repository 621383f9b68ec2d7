"""Functions of torch that read a tensor without telling its class.

They are wrapped once a weight has rows that are behind, and call back before they read.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import torch


def _opened(
    function: Callable[..., Any], before: Callable[[Any], None], looks: bool
) -> Callable[..., Any]:
    @functools.wraps(function)
    def opened(*args: Any, **kwargs: Any) -> Any:
        # While a graph is traced, torch asks the class itself.
        if not torch.compiler.is_compiling():
            before((*args, *kwargs.values()) if looks else None)
        return function(*args, **kwargs)

    opened.__dict__["_brings_up"] = True
    return opened


def _doors() -> Iterator[tuple[Any, str, bool]]:
    """Where a function stands, its name, and whether it reads its arguments alone."""
    import torch._functorch.eager_transforms as transforms
    import torch._functorch.vmap as vmap
    import torch.jit._recursive as recursive
    import torch.utils.dlpack as dlpack

    yield torch._C, "_to_dlpack", True
    yield torch, "to_dlpack", True
    yield dlpack, "to_dlpack", True
    yield torch, "tensor", True
    yield torch, "as_tensor", True
    yield torch, "asarray", True
    yield torch.Tensor, "new_tensor", True
    yield torch.Tensor, "set_", True
    yield torch.Tensor, "as_subclass", True
    yield transforms, "_create_differentiable", False
    yield transforms, "_wrap_functional_tensor", False
    yield transforms, "enter_jvp_nesting", False
    yield vmap, "_vmap_increment_nesting", False
    yield recursive, "create_script_module_impl", False


@functools.cache
def watch(before: Callable[[Any], None]) -> None:
    """Has `before` called where torch is about to read a tensor without telling its class: with the
    arguments where it reads those alone, else with None."""
    builtins: Any = importlib.import_module("torch.jit._builtins")

    for module, name, looks in _doors():
        function = getattr(module, name, None)
        if not callable(function) or hasattr(function, "_brings_up"):
            continue
        opened = _opened(function, before, looks)
        setattr(module, name, opened)
        builtin = builtins._find_builtin(function)
        if builtin is not None:
            builtins._register_builtin(opened, builtin)
