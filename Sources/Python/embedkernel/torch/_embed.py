"""Token rows and position rows, with the gradients of both tables.

An operator that is differentiated through `torch.library` costs 4 microseconds more a call than a function of
autograd around one that is not, as much as the embedding of a small batch. So each comes twice: `embed` is
differentiated by `torch.library` and is what compiled graphs hold; `embed_forward` is not, and is what eager code
calls. And as the dispatcher costs 4 more, a small batch that no mode, transform or profiler looks at goes past it:
`_core.tensors_embed`, in C, with the same results and gradients.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
from torch import Tensor

from .. import _core
from . import _errors, _fallback

_ops = torch.ops.embedkernel
# Past OpOverload's __call__, which does nothing but to call it.
_embed_forward: Callable[..., Tensor] = getattr(_ops.embed_forward.default, "_op", _ops.embed_forward.default)
_embed_backward: Callable[..., tuple[Tensor, ...]] = _ops.embed_backward.default
_embed_backward_coo: Callable[..., tuple[Tensor, Tensor]] = getattr(
    _ops.embed_backward_coo.default, "_op", _ops.embed_backward_coo.default
)
_embed_backward_sparse: Callable[..., tuple[Tensor, ...]] = _ops.embed_backward_sparse.default
_is_compiling = torch.compiler.is_compiling
_is_dynamo_compiling = torch.compiler.is_dynamo_compiling
_is_grad_enabled = torch.is_grad_enabled
_modes = torch._C._len_torch_dispatch_stack
_is_transformed = torch._C._are_functorch_transforms_active
_forward_ad = torch.autograd.forward_ad


def table_gradients(
    gradient: Tensor, ids: Tensor, places: Optional[Tensor], vocabulary: int, maximum: int, offset: int,
    scale: float, padding_idx: int, by_frequency: bool, sparse: bool, for_tokens: bool, for_positions: bool,
) -> tuple[Optional[Tensor], Optional[Tensor]]:
    """The gradients of the token and the position table; None for one that is not asked for."""
    if not (sparse and for_tokens):
        tokens, positions = _embed_backward(
            gradient, ids, places, vocabulary, maximum, offset, scale, padding_idx, by_frequency, for_tokens,
            for_positions,
        )
        return tokens if for_tokens else None, positions if for_positions else None
    dim = gradient.shape[-1]
    if scale == 1 and padding_idx < 0 and not by_frequency:
        # As PyTorch: the ids and the output's gradient as they are, nothing is copied or summed.
        if _modes() == 0:
            rows, positions = _embed_backward_coo(gradient, ids, places, vocabulary, maximum, offset, for_positions)
            return rows, positions if for_positions else None
        # In operators that compilers know.
        rows = torch.sparse_coo_tensor(
            ids.reshape(1, -1).long(), gradient.reshape(-1, dim), (vocabulary, dim), check_invariants=False
        )
        if not for_positions:
            return rows, None
        return rows, _embed_backward(
            gradient, ids, places, vocabulary, maximum, offset, 1.0, -1, False, False, True
        )[1]
    indices, values, positions = _embed_backward_sparse(
        gradient, ids, places, vocabulary, maximum, offset, scale, padding_idx, by_frequency, for_positions
    )
    rows = torch.sparse_coo_tensor(
        indices.unsqueeze(0), values, (vocabulary, dim), is_coalesced=True, check_invariants=False
    )
    return rows, positions if for_positions else None


def _differentiable_table_gradients(
    gradient: Tensor, ids: Tensor, places: Optional[Tensor], vocabulary: int, maximum: int, offset: int,
    scale: float, padding_idx: int, by_frequency: bool, sparse: bool, for_tokens: bool, for_positions: bool,
) -> tuple[Optional[Tensor], Optional[Tensor]]:
    """The same from PyTorch's operators, for a second derivative (`create_graph=True`)."""
    tokens = positions = None
    if for_tokens:
        scaled = gradient * scale if scale != 1 else gradient
        tokens = torch.ops.aten.embedding_backward(scaled, ids, vocabulary, padding_idx, by_frequency, sparse)
    if for_positions:
        where = _fallback.sequential(ids, places, offset).expand(ids.shape).reshape(-1)
        rows = gradient.reshape(-1, gradient.shape[-1])
        positions = gradient.new_zeros((maximum, rows.shape[1])).index_add(0, where, rows)
    return tokens, positions


def _gradients(
    facts: tuple[Any, ...], gradient: Tensor, for_tokens: bool, for_positions: bool
) -> tuple[Optional[Tensor], Optional[Tensor]]:
    ids, places, tokens, positions, offset, scale, padding_idx, by_frequency, sparse = facts
    compute: Callable[..., tuple[Optional[Tensor], Optional[Tensor]]] = (
        _differentiable_table_gradients if _is_grad_enabled() else table_gradients
    )
    return compute(
        gradient, ids, places, tokens.shape[0], 0 if positions is None else positions.shape[0], offset, scale,
        padding_idx, by_frequency, sparse, for_tokens, for_positions,
    )


class _Embed(torch.autograd.Function):
    """What eager code differentiates. Its inputs are few, as each costs time: the tables, and one tuple."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, positions: Optional[Tensor], call: tuple[Any, ...]) -> Tensor:
        ctx.save_for_backward(*call[:2])
        # The tables for their sizes alone, which are looked up once they are needed.
        ctx.facts = (tokens, positions, *call[2:])
        return _embed_forward(call[0], tokens, positions, *call[1:4])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        facts = (*ctx.saved_tensors, *ctx.facts)
        return *_gradients(facts, gradients[0], *ctx.needs_input_grad[:2]), None


class _EmbedQuick(torch.autograd.Function):
    """The same of tokens at their columns, unscaled, without a frame of Python on the way forward."""

    forward: Any = staticmethod(_core.tensors_forward)
    # `apply` looks these up by names that no cache knows: here they are found first.
    setup_context: Any = staticmethod(torch.autograd.Function.setup_context)
    clear_saved_tensors_on_access = False
    boxed_grads_call = False

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        _, tokens, positions, padding_idx, by_frequency, sparse = ctx.facts
        # Not the ids of the facts: those that were saved are looked at for a change.
        (ids,) = ctx.saved_tensors
        for_tokens, for_positions, _ = ctx.needs_input_grad
        if sparse and for_tokens and padding_idx < 0 and not by_frequency and not (_is_grad_enabled() or _modes()):
            # As `table_gradients`, some frames of Python earlier.
            maximum = positions.shape[0] if for_positions else 0
            rows, summed = _embed_backward_coo(gradients[0], ids, None, tokens.shape[0], maximum, 0, for_positions)
            return rows, summed if for_positions else None, None
        facts = (ids, None, tokens, positions, 0, 1.0, padding_idx, by_frequency, sparse)
        return *_gradients(facts, gradients[0], for_tokens, for_positions), None


# What autograd calls, past the method that asks for another name of `backward` first.
_EmbedQuick._backward_cls.apply = _EmbedQuick.backward

# Past Function.apply, which asks for transforms of torch.func: they are asked for below, once.
_embed_apply: Callable[..., Tensor] = super(torch.autograd.Function, _Embed).apply
_embed_quick = _core.tensors_embed
_core.tensors_setup(
    tensor=torch.Tensor,
    parameter=torch.nn.Parameter,
    watchers=(
        _is_transformed,
        _modes,
        torch._C._len_torch_function_stack,
        torch._C._is_tracing,
        torch.autograd._profiler_enabled,
    ),
    is_grad_enabled=_is_grad_enabled,
    is_neg=torch.Tensor.is_neg,
    apply=super(torch.autograd.Function, _EmbedQuick).apply,
    lazy_tables=_ops.optim_lazy_tables(),
)


def _graph_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ids, tokens, positions, places, *rest = inputs
    ctx.save_for_backward(ids, places)
    ctx.facts = (tokens, positions, *rest)


def _graph_backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
    # A graph leaves out arguments that have their default.
    needs = (*ctx.needs_input_grad, False, False)
    facts = (*ctx.saved_tensors, *ctx.facts)
    return None, *_gradients(facts, gradients[0], needs[1], needs[2]), None, None, None, None, None, None


torch.library.register_autograd("embedkernel::embed", _graph_backward, setup_context=_graph_setup)
_embed_in_graph: Callable[..., Tensor] = _ops.embed


def run_embed(
    ids: Tensor, tokens: Tensor, positions: Optional[Tensor], places: Optional[Tensor], offset: int, scale: float,
    padding_idx: int, by_frequency: bool, sparse: bool,
) -> Tensor:
    """`embed` with its arguments in the operator's order; `padding_idx` -1 is none."""
    if _is_compiling():
        if _fallback.is_plain(tokens, positions):
            return _embed_in_graph(
                ids, tokens, positions, places, offset, scale, padding_idx, by_frequency, sparse
            )
        return _fallback.embed(ids, tokens, positions, places, offset, scale, padding_idx, by_frequency, sparse)
    if _forward_ad._current_level < 0:
        result = _embed_quick(ids, tokens, positions, places, offset, scale, padding_idx, by_frequency, sparse)
        if result is not None:
            return result
    if not _fallback.is_left(ids, tokens, positions):
        try:
            if _is_grad_enabled() and (
                tokens.requires_grad or (positions is not None and positions.requires_grad)
            ):
                call = (ids, places, offset, scale, padding_idx, by_frequency, sparse)
                return _embed_apply(tokens, positions, call)
            return _embed_forward(ids, tokens, positions, places, offset, scale)
        except RuntimeError as error:
            _fallback.check_devices(
                token_ids=ids, token_table=tokens, position_table=positions, position_ids=places
            )
            if _fallback.is_plain(tokens, positions):
                _errors.reraise(error)
    return _fallback.embed(ids, tokens, positions, places, offset, scale, padding_idx, by_frequency, sparse)


def embed(
    ids: Tensor, tokens: Tensor, positions: Optional[Tensor] = None, *, position_ids: Optional[Tensor] = None,
    offset: int = 0, scale: float = 1.0, padding_idx: Optional[int] = None, scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Gathers token rows and adds the rows of their positions.

        output[..., t, :] = scale * tokens[ids[..., t], :] + positions[offset + t, :]

    Arguments:
        ids: Shape (..., T), int32 or int64.
        tokens: Shape (vocabulary, dim), float32, float16 or bfloat16.
        positions: Shape (maximum, dim), of the same type; None adds none.
        position_ids: Shape (T) or that of `ids`: the row of `positions` for each token, in place of its column.
        offset: The position of column 0.
        scale: Multiplies token rows before positions are added.
        padding_idx: An id whose row gets no gradient.
        scale_grad_by_freq: Divides a row's gradient by how often its id is in `ids`.
        sparse: Makes the gradient of `tokens` a sparse tensor.

    Returns a tensor (..., T, dim) of the tables' type, differentiable in `tokens` and `positions`.

    Raises IndexError, which names row, position and id, for an id or a position outside its table; ValueError for
    shapes that don't fit; RuntimeError for other types of ids and for tensors outside the CPU. Tables of
    other element types, and those that are not contiguous, go through `torch.nn.functional.embedding`.
    """
    padding = -1 if padding_idx is None else _padding(padding_idx, tokens.shape[0])
    if not _is_dynamo_compiling() and _forward_ad._current_level < 0:
        # As `run_embed`, some frames of Python earlier.
        result = _embed_quick(ids, tokens, positions, position_ids, offset, scale, padding, scale_grad_by_freq, sparse)
        if result is not None:
            return result
    return run_embed(ids, tokens, positions, position_ids, offset, scale, padding, scale_grad_by_freq, sparse)


def _padding(padding_idx: int, vocabulary: int) -> int:
    if not -vocabulary <= padding_idx < vocabulary:
        raise ValueError(f"padding_idx must be within the {vocabulary} rows, not {padding_idx}")
    return padding_idx % vocabulary


def renormalize_(table: Tensor, ids: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows of `ids` whose p-norm is above `max_norm` down to it, in place, as `torch.embedding_renorm_`."""
    with torch.no_grad():
        left = not _is_compiling() and _fallback.is_left(ids, table)
        if left or not _fallback.is_plain(table) or not (norm_type > 0 and 0 <= max_norm < float("inf")):
            _fallback.check_devices(token_ids=ids, token_table=table)
            # Detached, as a trace leaves no_grad out.
            torch.embedding_renorm_(table.detach(), ids.contiguous(), max_norm, norm_type)
            return
        if _is_compiling():
            _ops.renormalize_(table, ids, max_norm, norm_type)
            return
        _errors.call(_ops.renormalize_, table, ids, max_norm, norm_type)
        torch.autograd.graph.increment_version(table)


