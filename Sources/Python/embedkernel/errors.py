"""Errors: Python's own kinds, with the facts of the fault as attributes.

Each has `kind`, the fault's name ("tokenOutOfRange"), and `facts`, a dict of what is known of it: `argument`,
`row`, `position`, `value`, `bound`, `number`.
"""

from __future__ import annotations

import math
import os
from typing import Any


class OutOfRangeError(IndexError):
    """An id, a position or an index outside what there is.

    Attributes:
        id: the offending number; a position's where `kind` is "positionOutOfRange".
        row: its row of the batch, or None.
        position: its place in that row, or None.
        bound: the first number that is outside.
    """

    kind: str
    facts: dict[str, Any]
    id: int | None
    row: int | None
    position: int | None
    bound: int | None


class FileFormatError(ValueError):
    """A file that breaks its format, or holds something else than was asked for.

    Attributes:
        path: the file.
    """

    kind: str
    facts: dict[str, Any]
    path: str


class MissingTensorError(KeyError):
    """A file has no tensor of a name."""

    kind: str
    facts: dict[str, Any]
    path: str

    def __str__(self) -> str:
        return str(self.args[0])


# The codes of embedkernel.h.
_RANGE = {10, 11, 12, 13, 14, 16, 27, 51}
_RUNTIME = {2, 5, 31, 32, 33, 34}
_MEMORY, _NOT_FOUND, _SYSTEM, _FORMAT, _MISSING, _TYPE, _SHAPE, _MODEL = 30, 40, 41, 42, 43, 44, 45, 46


def exception(
    code: int,
    kind: str,
    message: str,
    argument: str,
    path: str,
    system_code: int,
    row: int | None,
    position: int | None,
    value: int | None,
    bound: int | None,
    number: float,
) -> BaseException:
    """The exception for an error of the C library."""
    facts = {
        "argument": argument or None,
        "path": path or None,
        "row": row,
        "position": position,
        "value": value,
        "bound": bound,
        "number": None if math.isnan(number) else number,
    }
    facts = {name: fact for name, fact in facts.items() if fact is not None}
    error: Any
    if code in _RANGE:
        error = OutOfRangeError(message)
        error.id, error.row, error.position, error.bound = value, row, position, bound
    elif code in _RUNTIME:
        error = RuntimeError(message)
    elif code == _MEMORY:
        error = MemoryError(message)
    elif code == _NOT_FOUND:
        number_of_system = system_code or 2
        error = FileNotFoundError(number_of_system, os.strerror(number_of_system), path)
    elif code == _SYSTEM:
        # OSError picks its own subclass by the number: PermissionError and the like.
        error = OSError(system_code, os.strerror(system_code), path) if system_code else OSError(message)
    elif code == _MISSING:
        error = MissingTensorError(message)
        error.path = path
    elif code == _TYPE:
        error = TypeError(message)
    elif code in (_FORMAT, _SHAPE, _MODEL):
        error = FileFormatError(message)
        error.path = path
    else:
        error = ValueError(message)
    error.kind = kind
    error.facts = facts
    found: BaseException = error
    return found
