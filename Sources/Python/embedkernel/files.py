"""Safetensors and .npy files: mapped when read, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from . import _core
from ._types import Path

_OTHER = 100
# By the numbers of embedkernel.h.
_DTYPES: dict[int, np.dtype[Any]] = {
    number: np.dtype(dtype)
    for number, dtype in enumerate(
        [np.float32, np.float16, ml_dtypes.bfloat16, np.float64, np.int8, np.int16, np.int32, np.int64]
        + [np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]
    )
}
# Types that the library passes on by the name that safetensors has for them.
_NAMED: dict[str, np.dtype[Any]] = {
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "F8_E8M0": np.dtype(ml_dtypes.float8_e8m0fnu),
    "C64": np.dtype(np.complex64),
}


def _array(facts: tuple[Any, ...], path: Path) -> npt.NDArray[Any]:
    name, number, type_name, shape, memory = facts
    dtype = _DTYPES.get(number) or _NAMED.get(type_name)
    if dtype is None:
        raise TypeError(f"{path}: tensor {name} has elements of {type_name}, which NumPy has not")
    array: npt.NDArray[Any] = memory.view(dtype).reshape(shape)
    return array


def load(path: Path, *, names: list[str] | None = None, copy: bool = False) -> dict[str, npt.NDArray[Any]]:
    """A safetensors file's tensors by name, or those of the shards that an index lists.

    They are read-only arrays over the mapped file, whose pages are read when they are touched; `copy` gives
    arrays of their own. bfloat16 is `ml_dtypes.bfloat16`.

    Args:
        path: a file, the index of a sharded model (`model.safetensors.index.json`), or a folder with either.
        names: the tensors to take; None for all.

    Raises:
        FileNotFoundError, PermissionError: as `open`.
        FileFormatError: what breaks the format, where.
        ValueError: a shard outside the index's folder, a folder without a model.
        KeyError: a name that the file has not, or that the index has and the shard not.
    """
    tensors, _ = _core.safetensors_open(path)
    by_name = {facts[0]: facts for facts in tensors}
    missing = [name for name in names or [] if name not in by_name]
    if missing:
        raise KeyError(f"{path} has no tensor {missing[0]}; it has {', '.join(sorted(by_name)) or 'none'}")
    arrays = {name: _array(by_name[name], path) for name in (by_name if names is None else names)}
    return {name: array.copy() for name, array in arrays.items()} if copy else arrays


def load_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file, or what all shards of an index agree on."""
    return _core.safetensors_open(path)[1]


def _type_of(array: npt.NDArray[Any]) -> tuple[int, str | None]:
    native = array.dtype.newbyteorder("=")
    for number, dtype in _DTYPES.items():
        if native == dtype:
            return number, None
    for name, dtype in _NAMED.items():
        if native == dtype:
            return _OTHER, name
    raise TypeError(f"elements of {array.dtype} have no type in such a file")


def _plain(array: npt.ArrayLike) -> npt.NDArray[Any]:
    """As it can be written: in order, in the machine's bytes."""
    given = np.asarray(array)
    return np.ascontiguousarray(given, given.dtype.newbyteorder("=")).reshape(given.shape)


def save(
    path: Path, tensors: Mapping[str, npt.ArrayLike], *, metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a safetensors file, whole or not at all: what was there stays until it is complete.

    Raises:
        TypeError: elements that the format has no type for.
        OSError: as the system says.
    """
    arrays = {name: _plain(array) for name, array in tensors.items()}
    items = [(name, *_type_of(array), array) for name, array in arrays.items()]
    texts = [text for pair in (metadata or {}).items() for text in pair]
    _core.safetensors_write(path, items, texts)


def load_npy(path: Path, *, copy: bool = False) -> npt.NDArray[Any]:
    """An array of an .npy file, read-only over the mapped file, or a copy.

    Raises:
        FileNotFoundError, FileFormatError: what is wrong with the file.
    """
    array = _array(_core.npy_open(path), path)
    return array.copy() if copy else array


def save_npy(path: Path, array: npt.ArrayLike) -> None:
    """Writes an .npy file, whole or not at all; bfloat16 as NumPy's void of two bytes."""
    plain = _plain(array)
    number, name = _type_of(plain)
    if name is not None:
        raise TypeError(f"elements of {plain.dtype} have no type in an .npy file")
    _core.npy_write(path, number, plain)
