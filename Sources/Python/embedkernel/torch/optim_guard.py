"""Weights some of whose rows are behind: whoever reads one finds it up to date.

An exact-lazy optimiser makes its weight a parameter of a class of its own. Every function of torch that
is given such a weight passes through here first, and the rows that it reads, or all rows, take the
steps that they have missed. embedkernel's operators do the same by themselves.

What holds the weight's memory under another name cannot be watched: an alias such as ``weight.data`` or
a NumPy array, shared memory, a scripted module. While there is one, all rows are brought up to date at
the end of every step, with a warning, as that costs what a dense step does. Unseen are only torch's
legacy constructors, ``torch.Tensor(weight)`` and ``torch.FloatTensor(weight)``: use ``weight.clone()``.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, _utils
from torch._compile import _disable_dynamo

from . import optim_doors
from .optim_lazy import LazyRows

_ATTRIBUTE = "_lazy_rows"


#: The weights that have such rows, by identity.
_ATTACHED: dict[int, weakref.ref[Tensor]] = {}


def rows_of(parameter: Tensor) -> LazyRows | None:
    """The rows that an optimiser may have left behind of a parameter."""
    return parameter.__dict__.get(_ATTRIBUTE)


# Reading


def _getters(*names: str) -> set[Any]:
    return {getattr(torch.Tensor, name).__get__ for name in names if hasattr(torch.Tensor, name)}


def _methods(*names: str) -> set[Any]:
    return {getattr(torch.Tensor, name) for name in names if hasattr(torch.Tensor, name)}


#: What does not look at elements.
_HARMLESS: frozenset[Any] = frozenset(
    _getters(
        "shape",
        "dtype",
        "device",
        "layout",
        "ndim",
        "grad",
        "requires_grad",
        "is_leaf",
        "grad_fn",
        "names",
        "is_sparse",
        "is_sparse_csr",
        "is_quantized",
        "is_mkldnn",
        "is_meta",
        "is_cpu",
        "is_cuda",
        "is_nested",
        "is_xla",
        "is_mps",
        "is_xpu",
        "itemsize",
        "nbytes",
        "name",
        "output_nr",
        "retains_grad",
        "_backward_hooks",
        "_post_accumulate_grad_hooks",
        "_version",
        "_base",
        "_grad",
        "_grad_fn",
        "grad_dtype",
        "_cdata",
    )
    | {getattr(torch.Tensor, name).__set__ for name in ("grad", "requires_grad")}
    | _methods(
        "size",
        "dim",
        "ndimension",
        "numel",
        "nelement",
        "stride",
        "storage_offset",
        "element_size",
        "is_contiguous",
        "is_floating_point",
        "is_complex",
        "is_conj",
        "is_neg",
        "is_signed",
        "is_inference",
        "is_pinned",
        "is_same_size",
        "dim_order",
        "_is_view",
        "__len__",
        "__hash__",
        "requires_grad_",
        "register_hook",
        "register_post_accumulate_grad_hook",
        "retain_grad",
        "backward",
    )
    | {
        torch.numel,
        torch.is_floating_point,
        torch.is_complex,
        torch.autograd.grad,
        torch.autograd.backward,
    }
)

#: Where ids stand in the arguments of functions that read the rows of ids alone, and copy them.
_READERS: dict[Any, tuple[int, int, str]] = {
    # function: (place of the weight, place of the ids, their name)
    torch.nn.functional.embedding: (1, 0, "input"),
    torch.nn.functional.embedding_bag: (1, 0, "input"),
    torch.embedding: (0, 1, "indices"),
    torch.embedding_bag: (0, 1, "indices"),
    torch.Tensor.__getitem__: (0, 1, ""),
}


def _own() -> Iterator[Any]:
    for name in torch._C._dispatch_get_all_op_names():
        if name.startswith("embedkernel::"):
            packet = getattr(torch.ops.embedkernel, name.removeprefix("embedkernel::").split(".")[0])
            yield packet
            yield from (getattr(packet, overload) for overload in packet.overloads())


#: embedkernel's operators, which bring up what they read.
_OWN: frozenset[Any] = frozenset(_own())


def _guarded(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _guarded(value)
        elif isinstance(value, dict):
            yield from _guarded(value.values())
        elif isinstance(value, CaughtUp):
            yield value  # type: ignore[misc]


def _ids(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor | None:
    """The ids whose rows a function reads of the one weight; None where it may read others too."""
    reader = _READERS.get(func)
    if reader is None:
        return None
    weight, place, name = reader
    ids = args[place] if len(args) > place else kwargs.get(name)
    given = args[weight] if len(args) > weight else kwargs.get("weight")
    if not isinstance(given, CaughtUp) or type(ids) is not Tensor:
        return None
    if ids.dtype not in (torch.int64, torch.int32) or ids.layout is not torch.strided:
        return None
    if func is torch.Tensor.__getitem__ and ids.dim() == 0:
        return None  # A view.
    if ids.device.type != "cpu":
        return None
    return ids.detach().contiguous()


def _bring_up(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    """Brings up to date what a function reads; the weights whose memory it may move."""
    ids = _ids(func, args, kwargs)
    found = []
    for weight in _guarded((args, kwargs)):
        rows = rows_of(weight)
        if rows is None:
            continue
        # Ids outside the table, or counted from its end, mean all rows.
        rows.bring_up(weight, ids)
        if ids is None:
            found.append(weight)
    return found


def _follow(weights: list[Tensor]) -> None:
    for weight in weights:
        rows = rows_of(weight)
        if rows is not None:
            rows.follow(weight)


#: The same where torch.compile traces: the graph breaks here.
_bring_up_untraced = _disable_dynamo(_bring_up)
_follow_untraced = _disable_dynamo(_follow)


class CaughtUp:
    """What the guarded classes share."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            if func in _HARMLESS or func in _OWN:
                return func(*args, **kwargs)
            is_traced = torch.compiler.is_compiling()
            weights = (_bring_up_untraced if is_traced else _bring_up)(func, args, kwargs)
            result = func(*args, **kwargs)
            if weights:
                (_follow_untraced if is_traced else _follow)(weights)
            return result

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        copy = _plain_class(self)._make_subclass(  # type: ignore[attr-defined]
            _plain_class(self), self.detach().clone(), self.requires_grad
        )
        memo[id(self)] = copy
        return copy

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        attributes = {k: v for k, v in self.__dict__.items() if k != _ATTRIBUTE}
        if not isinstance(self, torch.nn.Parameter):
            plain = self.detach().requires_grad_(self.requires_grad)
            plain.__dict__.update(attributes)
            return plain.__reduce_ex__(protocol)
        arguments: tuple[Any, ...] = (self.data, self.requires_grad, OrderedDict())
        if attributes:
            return _utils._rebuild_parameter_with_state, (*arguments, attributes)
        return _utils._rebuild_parameter, arguments


class CaughtUpParameter(CaughtUp, torch.nn.Parameter):
    """A ``torch.nn.Parameter`` whose rows are brought up to date when they are read."""

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return str(torch.nn.Parameter(self.detach(), self.requires_grad))


class CaughtUpTensor(CaughtUp, torch.Tensor):
    """The same of a leaf that is no parameter of a module."""

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return str(self.detach().requires_grad_(self.requires_grad))


_CLASSES: dict[type, type] = {
    torch.nn.Parameter: CaughtUpParameter,
    torch.Tensor: CaughtUpTensor,
}


def _plain_class(parameter: Any) -> type:
    return torch.nn.Parameter if isinstance(parameter, CaughtUpParameter) else torch.Tensor


# A weight has one optimiser that may leave its rows behind.


def attach(parameter: Tensor, rows: LazyRows) -> None:
    """Makes a parameter know of these rows, and of none other's."""
    other = rows_of(parameter)
    if other is rows:
        return
    if other is not None:
        other.synchronise(parameter)
    else:
        guarded = _CLASSES.get(type(parameter))
        if guarded is None:
            raise TypeError(
                "rows are left behind of torch.nn.Parameter and torch.Tensor, not of "
                f"{type(parameter).__name__}: its own way to be read is not known here"
            )
        optim_doors.watch(_bring_up_unseen)
        parameter.__class__ = guarded
    setattr(parameter, _ATTRIBUTE, rows)
    key = id(parameter)
    _ATTACHED[key] = weakref.ref(parameter, lambda _: _ATTACHED.pop(key, None))
    rows.enter(parameter)


def detach(parameter: Tensor, rows: LazyRows) -> None:
    """Makes a parameter an ordinary one again, all rows up to date."""
    rows.synchronise(parameter)
    if rows_of(parameter) is rows:
        delattr(parameter, _ATTRIBUTE)
        parameter.__class__ = _plain_class(parameter)
        _ATTACHED.pop(id(parameter), None)


def _bring_up_unseen(args: Any) -> None:
    """Brings up the weights among these arguments; all that there are for None."""
    if args is None:
        weights: list[Any] = [
            weight for reference in list(_ATTACHED.values()) if (weight := reference()) is not None
        ]
    else:
        # A list of numbers may be long: one of tensors begins with one.
        weights = [
            value
            for value in args
            if isinstance(value, CaughtUp)
            or (isinstance(value, (list, tuple)) and value and isinstance(value[0], Tensor))
        ]
    if weights:
        with torch._C.DisableTorchFunctionSubclass():
            _bring_up(None, weights, {})
