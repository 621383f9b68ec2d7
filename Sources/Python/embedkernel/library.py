"""The C library beneath: its threads, its files."""

from __future__ import annotations

import pathlib

from . import _core

_FOLDER = pathlib.Path(__file__).parent


def set_threads(threads: int) -> None:
    """Sets how many threads calls take at most that name no number; 0 for as many as a call gains from."""
    _core.set_threads(threads)


def threads() -> int:
    """The number that `set_threads` set; 0 for none."""
    return _core.info()[1]


def cpu_count() -> int:
    """The CPUs that this process may use."""
    return _core.info()[2]


def info() -> str:
    """Some lines about the machine and the library: version, CPU, instruction set, OpenBLAS."""
    return _core.info()[3]


def get_include() -> str:
    """The folder of `embedkernel.h`, for C and C++ beside this package."""
    return str(_FOLDER / "include")


def get_library() -> str:
    """The path of the C library, `libembedkernel.so` and its interface's number."""
    (library,) = (_FOLDER / "lib").glob("libembedkernel.so*")
    return str(library)
