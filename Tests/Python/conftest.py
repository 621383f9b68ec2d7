"""Settings of Hypothesis, and arrays that tests share."""

import os

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile(
    "embedkernel",
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.register_profile("more", parent=hypothesis.settings.get_profile("embedkernel"), max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("EMBEDKERNEL_HYPOTHESIS", "embedkernel"))


@pytest.fixture
def rng():
    return np.random.default_rng(7)
