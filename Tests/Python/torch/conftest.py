"""What the tests of `embedkernel.torch` share. They need a PyTorch from 2.11 on and skip without one."""

from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("hypothesis", reason="Hypothesis is not installed")

from hypothesis import HealthCheck, settings  # noqa: E402

# Examples are drawn from a fixed seed: a failure is the same on every machine, and printed.
settings.register_profile(
    "fixed", derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def seeds() -> None:
    """The same random numbers in every test, in whatever order they run."""
    torch.manual_seed(20)
    random.seed(20)
