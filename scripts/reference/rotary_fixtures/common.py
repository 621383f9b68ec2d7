"""What the cases share: one generator, so that values depend on the order in which cases are made."""

import contextlib
import json
import platform
from pathlib import Path

import numpy as np
import torch

TESTS = Path(__file__).resolve().parents[3] / "Tests"
SEED = 20_240_608
GENERATOR = torch.Generator().manual_seed(SEED)


def versions(*packages):
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "seed": SEED,
        **{name: version(name) for name in packages},
    }


@contextlib.contextmanager
def in_double():
    """fp32 by its names means fp64."""
    kept = torch.float, torch.float32, torch.Tensor.float, torch.get_default_dtype()
    torch.float = torch.float32 = torch.float64
    torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.float, torch.float32, torch.Tensor.float = kept[:3]
        torch.set_default_dtype(kept[3])


def drawn(*shape):
    """Normal values that fp32 holds exactly."""
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float32).double()


def listed(tensor):
    return tensor.detach().double().flatten().tolist()


def write(name, content, target="EmbedKernelTests"):
    folder = TESTS / target / "Fixtures/rotary"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content) + "\n")
