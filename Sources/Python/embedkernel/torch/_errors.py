"""What an operator could not say: that its RuntimeError is a ValueError or a MemoryError."""

from __future__ import annotations

from typing import Any, Callable, NoReturn

import torch

_KINDS: dict[int, type[Exception]] = {1: ValueError, 2: MemoryError}


def reraise(error: RuntimeError) -> NoReturn:
    """Raises what `error`, the failure of an operator, stands for."""
    kind, message = torch.ops.embedkernel.last_failure()
    made = _KINDS.get(kind)
    # Of this failure, not of an earlier one that nobody asked about.
    if made is None or message not in str(error):
        raise error
    raise made(message) from None


def call(operator: Callable[..., Any], *arguments: Any) -> Any:
    """Calls an operator, and raises what its failure stands for."""
    try:
        return operator(*arguments)
    except RuntimeError as error:
        reraise(error)
