"""The package as it is installed."""

import importlib.metadata
import inspect
import pathlib
import subprocess
import sys

import embedkernel as ek


def test_version():
    assert ek.__version__ == importlib.metadata.version("embedkernel")
    assert ek.__version__ in ek.info()


def test_every_public_name_is_documented():
    for name in ek.__all__:
        thing = getattr(ek, name)
        if name.startswith("__") or inspect.ismodule(thing):
            continue
        assert inspect.getdoc(thing), name
        if inspect.isbuiltin(thing):
            assert inspect.signature(thing).parameters, name
    for name in ek.optim.__all__:
        assert inspect.getdoc(getattr(ek.optim, name)), name


def test_signatures_are_the_stubs():
    """What help() shows of functions in C is what type checkers see."""
    import ast

    stub = ast.parse((pathlib.Path(ek.__file__).parent / "_core.pyi").read_text())
    functions = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
    for name, node in functions.items():
        function = getattr(ek._core, name)
        if function.__doc__ is None:
            continue
        parameters = list(inspect.signature(function).parameters)
        assert parameters == [arg.arg for arg in node.args.args + node.args.kwonlyargs], name


def test_the_command():
    told = subprocess.run([sys.executable, "-m", "embedkernel", "--help"], capture_output=True, text=True)
    assert told.returncode == 0 and "embed" in told.stdout
    version = subprocess.run([sys.executable, "-m", "embedkernel", "--version"], capture_output=True, text=True)
    assert ek.__version__ in version.stdout
    wrong = subprocess.run([sys.executable, "-m", "embedkernel", "no-such"], capture_output=True, text=True)
    assert wrong.returncode != 0 and wrong.stderr


def test_header_and_library():
    assert (pathlib.Path(ek.get_include()) / "embedkernel.h").exists()
    assert pathlib.Path(ek.get_library()).exists()
    package = pathlib.Path(ek.__file__).parent
    assert (package / "py.typed").exists()


def test_licences_come_along():
    files = importlib.metadata.files("embedkernel") or []
    names = {pathlib.Path(file).name for file in files if "licenses" in str(file)}
    assert {"LICENSE", "OpenBLAS.txt", "LAPACKE.txt", "PCRE2.txt", "zlib.txt"} <= names


def test_openblas_comes_along():
    """A product opens it, and it is the wheel's own."""
    code = (
        "import embedkernel as ek, numpy as np\n"
        "assert not any('embedkernel/lib/libopenblas' in line for line in open('/proc/self/maps'))\n"
        "ek.tied_logits(np.ones((2, 8), np.float32), np.ones((3, 8), np.float32))\n"
        "assert any('embedkernel/lib/libopenblas' in line for line in open('/proc/self/maps'))\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_importing_it_starts_no_threads_and_no_torch():
    code = (
        "import embedkernel, sys, os\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
