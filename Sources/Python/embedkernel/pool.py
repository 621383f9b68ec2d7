"""The buffers that large results live in.

A new array of 32 MiB costs nine tenths of an embedding's time in page faults. Results of 128 KiB and more
take a buffer of this pool, on huge pages where the system has them, and give it back when the last array
over it dies.
"""

from __future__ import annotations

from typing import NamedTuple

from . import _core


class Info(NamedTuple):
    """What the pool holds."""

    held: int
    """Bytes that lie idle, ready for the next result."""
    in_use: int
    """Bytes under living arrays."""
    limit: int
    """Bytes that may lie idle at most."""
    taken: int
    """Buffers taken so far."""
    reused: int
    """How many of them were there already."""


def info() -> Info:
    """What the pool holds."""
    return Info(*_core.pool_info())


def held() -> int:
    """Bytes that lie idle."""
    return info().held


def limit() -> int:
    """Bytes that may lie idle at most: 1 GiB at first, or a sixteenth of the machine's memory if that is less."""
    return info().limit


def set_limit(bytes: int) -> None:
    """Sets how many bytes may lie idle; what is above is released. 0 keeps nothing."""
    _core.pool_set_limit(bytes)


def clear() -> int:
    """Releases all that lies idle, and says how many bytes that was."""
    return _core.pool_clear()
