"""Loads the compiled operators, into a PyTorch that is new enough for them."""

from __future__ import annotations

from pathlib import Path

OLDEST = (2, 11)


def release(version: str) -> tuple[int, int]:
    """The first two numbers of a version such as "2.13.0+cpu"."""
    numbers: list[int] = []
    for part in version.split("+")[0].split(".")[:2]:
        digits = "".join(character for character in part if character.isdigit())
        numbers.append(int(digits or 0))
    return (numbers + [0, 0])[0], (numbers + [0, 0])[1]


def load() -> None:
    """Registers the operators of the namespace `embedkernel`.

    Raises ImportError where PyTorch is missing or older than 2.11, or the library was not built.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "embedkernel.torch needs PyTorch 2.11 or later, which is not installed: pip install torch"
        ) from error
    if release(torch.__version__) < OLDEST:
        raise ImportError(
            f"embedkernel.torch needs PyTorch {OLDEST[0]}.{OLDEST[1]} or later, whose stable ABI its operators "
            f"stand on; this is {torch.__version__}"
        )
    path = Path(__file__).parent / "_ops.so"
    if not path.exists():
        raise ImportError(f"embedkernel.torch's operators are missing: {path}; this copy was built without PyTorch")
    torch.ops.load_library(str(path))
