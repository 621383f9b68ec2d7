"""The operators themselves: PyTorch's own checks of them, their errors, and what the library is made of."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

import embedkernel.torch as ek
from embedkernel.torch import _library

ops = torch.ops.embedkernel


def floats(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape).to(dtype).requires_grad_()


def embed_samples() -> list[tuple[Any, ...]]:
    ids = torch.randint(0, 11, (3, 4))
    samples: list[tuple[Any, ...]] = []
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        tokens, positions = floats(11, 6, dtype=dtype), floats(9, 6, dtype=dtype)
        samples += [
            (ids, tokens),
            (ids.int(), tokens, positions, None, 2, 1.5, 3, True),
            (ids, tokens, positions, torch.randint(0, 9, (3, 4))),
            (ids, tokens.detach(), positions),
        ]
    return samples + [(ids[0], floats(11, 6)), (ids[0, 0], floats(11, 6)), (ids[:0], floats(11, 6), floats(9, 6))]


# What checks an operator's registration, its fake kernel and its gradient in a graph with symbolic shapes.
CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")


@pytest.mark.parametrize("sample", range(len(embed_samples())))
def test_embed_passes_opcheck(sample: int) -> None:
    torch.library.opcheck(ops.embed.default, embed_samples()[sample], test_utils=CHECKS)


@pytest.mark.parametrize("norm", [0, 1, 2])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_fused_passes_opcheck(norm: int, dropout: float) -> None:
    ids = torch.randint(0, 11, (3, 4))
    seed = torch.tensor(7) if dropout else None
    sample = (
        ids, floats(11, 8), floats(9, 8), floats(2, 8), torch.randint(0, 2, (3, 4)), None,
        floats(8) if norm else None, floats(8) if norm == 1 else None, seed, 1, 1.5, norm, 1e-5, dropout, 3,
    )
    torch.library.opcheck(ops.fused.default, sample, test_utils=CHECKS)


@pytest.mark.parametrize("norm", [1, 2])
def test_norm_passes_opcheck(norm: int) -> None:
    torch.library.opcheck(ops.norm.default, (floats(5, 8), floats(8), floats(8), norm, 1e-5), test_utils=CHECKS)


@pytest.mark.parametrize("heads_first", [True, False])
def test_rotate_passes_opcheck(heads_first: bool) -> None:
    rotary = ek.RotaryEmbedding.plain(8)
    for places, offset in ((None, 0), (None, 3), (torch.randint(0, 9, (2, 3)), 0)):
        sample = (floats(2, 3, 3, 8), rotary.rotation, places, None, offset, heads_first, 0)
        torch.library.opcheck(ops.rotate.default, sample, test_utils=CHECKS)


def test_tied_logits_passes_opcheck() -> None:
    torch.library.opcheck(ops.tied_logits.default, (floats(2, 3, 8), floats(11, 8), 0.5), test_utils=CHECKS)


def test_renormalize_passes_opcheck() -> None:
    sample = (torch.randn(11, 8), torch.randint(0, 11, (3, 4)), 1.0, 2.0)
    torch.library.opcheck(ops.renormalize_.default, sample)


def test_forward_operators_pass_opcheck() -> None:
    ids, tokens, positions = torch.randint(0, 11, (3, 4)), torch.randn(11, 8), torch.randn(9, 8)
    gradient = torch.randn(3, 4, 8)
    for operator, sample in (
        (ops.embed_forward.default, (ids, tokens, positions)),
        (ops.embed_backward.default, (gradient, ids, None, 11, 9, 0, 1.0, -1, False, True, True)),
        (ops.embed_backward.default, (gradient, ids, None, 11, 9, 0, 1.0, -1, False, False, True)),
        (ops.embed_backward_sparse.default, (gradient, ids, None, 11, 9, 0, 1.0, 2, False, True)),
        (ops.norm_backward.default, (gradient, torch.randn(3, 4, 8), torch.randn(8), None, 1, 1e-5)),
        (ops.tied_backward.default, (torch.randn(5, 11), torch.randn(5, 8), tokens, 1.0)),
    ):
        torch.library.opcheck(operator, sample, test_utils=("test_schema", "test_faketensor"))


def test_arguments_that_do_not_fit() -> None:
    ids, tokens, positions = torch.randint(0, 11, (3, 4)), torch.randn(11, 8), torch.randn(9, 8)
    for error, words, arguments, options in (
        (RuntimeError, "differ in dtype", (ids, tokens, positions.half()), {}),
        (ValueError, "position table", (ids, tokens, torch.randn(9, 7)), {}),
        (RuntimeError, "2 dimensions", (ids, torch.randn(11)), {}),
        (ValueError, "exclude", (ids, tokens, positions), {"position_ids": ids, "offset": 2}),
        (ValueError, "position ids", (ids, tokens, positions), {"position_ids": torch.zeros(5, dtype=torch.int64)}),
        (ValueError, "position ids", (ids, tokens, positions), {"position_ids": torch.zeros(4, 3, dtype=torch.int64)}),
        (RuntimeError, "int32 or int64", (ids, tokens, positions), {"position_ids": torch.zeros(3, 4)}),
        (IndexError, "9", (ids, tokens, positions), {"position_ids": torch.full((3, 4), 9)}),
        (IndexError, "", (ids, tokens, positions), {"offset": 7}),
        (ValueError, "", (ids, tokens, positions), {"offset": -1}),
        (ValueError, "padding_idx", (ids, tokens), {"padding_idx": 11}),
        (ValueError, "padding_idx", (ids, tokens), {"padding_idx": -12}),
    ):
        with pytest.raises(error) as caught:
            ek.embed(*arguments, **options)
        assert words in str(caught.value), str(caught.value)


def test_tensors_elsewhere_are_refused_by_name() -> None:
    class Elsewhere:
        """Stands for a tensor of a device that this machine lacks."""

        def __init__(self, shape: tuple[int, ...]) -> None:
            self.shape, self.device = shape, torch.device("cuda:1")

    from embedkernel.torch import _fallback

    with pytest.raises(RuntimeError, match="token table is on cuda:1"):
        _fallback.check_devices(token_ids=torch.zeros(2), token_table=Elsewhere((3, 4)))  # type: ignore[arg-type]


def test_a_second_derivative_that_there_is_not_is_refused() -> None:
    layer = ek.InputEmbedding(9, 4, 5, norm="layer")
    ids = torch.randint(0, 9, (2, 3))
    out = layer(ids).square().sum()
    (gradient,) = torch.autograd.grad(out, layer.tokens.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_an_operator_without_gradient_says_so() -> None:
    tokens = torch.randn(5, 4, requires_grad=True)
    out = ops.embed_forward(torch.tensor([1, 2]), tokens)
    with pytest.warns(UserWarning, match="autograd kernel was not registered"):
        try:
            out.sum().backward()
        except RuntimeError:
            pass


def test_an_older_torch_is_refused_by_name() -> None:
    code = """
        import sys, types
        torch = types.ModuleType("torch")
        torch.__version__ = "2.9.1+cpu"
        sys.modules["torch"] = torch
        try:
            import embedkernel.torch
        except ImportError as error:
            print(error)
    """
    path = str(Path(ek.__file__).parents[2])
    found = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {path!r})\n" + textwrap.dedent(code)],
        capture_output=True, text=True, check=True,
    )
    assert "2.11 or later" in found.stdout and "2.9.1" in found.stdout
    assert _library.release("2.13.0a0+git") == (2, 13) and _library.release("3") == (3, 0)


def test_the_library_stands_on_the_stable_abi_alone() -> None:
    library = Path(ek.__file__).parent / "_ops.so"
    symbols = subprocess.run(["nm", "-D", "--undefined-only", str(library)], capture_output=True, text=True)
    if symbols.returncode != 0:
        pytest.skip("nm is not installed")
    names = [line.split()[-1].split("@")[0] for line in symbols.stdout.splitlines()]
    assert any(name.startswith("aoti_torch_") for name in names)
    # A symbol of PyTorch's C++ would tie the library to one release.
    assert [name for name in names if name.startswith("_Z") and any(part in name for part in ("3c10", "2at", "5torch"))] == []
    needed = subprocess.run(["readelf", "-d", str(library)], capture_output=True, text=True).stdout
    assert "libpython" not in needed and "libc10" not in needed
