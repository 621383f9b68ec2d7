"""Text to ids, and ids to batches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import _core
from ._types import IDs, Int32, Path


class Tokenizer:
    """A byte-pair tokenizer with tiktoken's ids.

    Args:
        path: GPT-2's files or their folder, or a .tiktoken file; None for a tokenizer of bytes, whose ids
            are 0 to 255.
    """

    def __init__(self, path: Path | None = None):
        self.path = None if path is None else os.fspath(path)
        self._handle = _core.tokenizer_open(self.path)

    @property
    def vocabulary(self) -> int:
        """One more than the largest id."""
        return _core.tokenizer_info(self._handle)

    def special(self, name: str) -> int | None:
        """The id of a special token, or None where there is none of that name."""
        found = _core.tokenizer_info(self._handle, name)
        return None if found < 0 else found

    def encode(self, text: str | bytes, *, special: str = "ordinary", threads: int = 1) -> Int32:
        """Ids of a text, int32 (N), the same for any number of threads.

        Args:
            special: text that spells a special token is "ordinary" text, "recognised", or "refused".
            threads: at most, for a text of 256 KiB or more; 0 for those that `set_threads` says.

        Raises:
            ValueError: bytes that are no UTF-8, or a special token that is refused.
        """
        return _core.tokenizer_encode(self._handle, text, special=special, threads=threads)

    def decode(self, ids: IDs) -> str:
        """The text of ids; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: IDs) -> bytes:
        """The bytes of ids.

        Raises:
            OutOfRangeError: an id that is no token's.
        """
        return _core.tokenizer_decode(self._handle, ids)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Tokenizer, (self.path,))

    def __repr__(self) -> str:
        return f"Tokenizer({self.path!r})"


class Windows:
    """Sliding windows over tokens in batches: rows of `context` tokens, and the same one later.

    Args:
        tokens: ids (N), copied; or the path of a token file, which is mapped.
        context: T.
        batch: B.
        stride: tokens between windows; None for `context`.
        seed: shuffle, by seed and epoch; None for the order of the tokens.
        epoch: which shuffle.
        keep_last: keep the last batch where it is not full.
        width: bytes of a token in a file, 2 or 4.

    Indexed and iterated: `inputs, targets = windows[i]`, each int32 (B, T).
    """

    def __init__(
        self,
        tokens: IDs | Path,
        *,
        context: int,
        batch: int,
        stride: int | None = None,
        seed: int | None = None,
        epoch: int = 0,
        keep_last: bool = False,
        width: int = 2,
    ):
        self.context, self.batch = context, batch
        options: dict[str, Any] = {
            "context": context,
            "batch": batch,
            "stride": stride,
            "seed": seed,
            "epoch": epoch,
            "keep_last": keep_last,
        }
        if isinstance(tokens, (str, os.PathLike)):
            self._handle = _core.windows_over_file(tokens, width=width, **options)
        else:
            self._handle = _core.windows_over_ids(tokens, **options)

    @property
    def count(self) -> int:
        """The number of windows."""
        return _core.windows_count(self._handle)[1]

    def __len__(self) -> int:
        """The number of batches."""
        return _core.windows_count(self._handle)[0]

    def __getitem__(self, index: int) -> tuple[Int32, Int32]:
        """Batch `index`: inputs and targets, each int32 (B, T), or fewer rows in a last one."""
        batches = len(self)
        place = index + batches if index < 0 else index
        if not 0 <= place < batches:
            raise IndexError(f"batch {index} is outside the {batches} batches")
        return _core.windows_fill(self._handle, place, self.batch, self.context)

    def __iter__(self) -> Iterator[tuple[Int32, Int32]]:
        for index in range(len(self)):
            yield self[index]


def save_tokens(path: Path, ids: IDs, *, width: int | None = None) -> None:
    """Writes ids as a token file of 2 or 4 bytes a token, whole or not at all.

    Args:
        width: None for 2 where every id fits.
    """
    tokens = np.asarray(ids)
    if width is None:
        width = 2 if tokens.size == 0 or tokens.max() < 65536 else 4
    _core.token_file_write(path, tokens, width=width)
