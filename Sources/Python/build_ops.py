"""Compiles PyTorch's operators, `embedkernel/torch/src/*.cpp`, into one library.

They stand on PyTorch's stable ABI of release 2.11, so that the library serves that release and every
later one, whatever Python it runs in; any of these releases' headers will do. The library finds
`libembedkernel` beside it, and PyTorch's libraries in the process that loads it.

    python Sources/Python/build_ops.py --include DIR --library DIR --output embedkernel/torch/_ops.so
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = Path(__file__).parent / "embedkernel" / "torch" / "src"
# The first release whose from_blob takes a deleter through the stable ABI.
STABLE_ABI = "0x020b000000000000"


def torch_folder() -> Path:
    """The folder of the installed PyTorch, which isn't imported."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit("build_ops.py: PyTorch 2.11 or later must be installed, for its headers: pip install torch")
    return Path(spec.origin).parent


def version_of(torch: Path) -> tuple[int, int]:
    """The release of the headers in `torch`."""
    numbers = {}
    header = torch / "include" / "torch" / "headeronly" / "version.h"
    if header.exists():
        for line in header.read_text().splitlines():
            words = line.split()
            if len(words) == 3 and words[0] == "#define" and words[2].isdigit():
                numbers[words[1]] = int(words[2])
    return numbers.get("TORCH_VERSION_MAJOR", 0), numbers.get("TORCH_VERSION_MINOR", 0)


def build(include: Path, library: Path, output: Path, torch: Path, rpath: str = "$ORIGIN/../lib",
          compiler: str | None = None, jobs: int = 1) -> None:
    """Compiles and links the operators.

    - include: the folder of `embedkernel.h`.
    - library: the folder of `libembedkernel.so`.
    - rpath: where the library finds `libembedkernel.so` once it is installed.
    """
    found = version_of(torch)
    if found < (2, 11):
        sys.exit(f"build_ops.py: {torch} has the headers of PyTorch {found[0]}.{found[1]}; 2.11 or later is needed")
    compiler = compiler or os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++") or "c++"
    flags = [
        "-std=c++17", "-O2", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden",
        "-Wall", "-Wextra", "-Werror", f"-DTORCH_TARGET_VERSION={STABLE_ABI}",
        "-I", str(include), "-isystem", str(torch / "include"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        sources = sorted(SOURCES.glob("*.cpp"))
        objects = [Path(folder) / (source.stem + ".o") for source in sources]

        def compile_one(pair: tuple[Path, Path]) -> None:
            subprocess.run([compiler, *flags, "-c", "-o", str(pair[1]), str(pair[0])], check=True)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(compile_one, zip(sources, objects)))
        linked = Path(folder) / "ops.so"
        subprocess.run(
            [
                compiler, "-shared", "-o", str(linked), *map(str, objects),
                "-L", str(library), "-lembedkernel",
                # Of PyTorch only the name counts: the process has loaded it.
                "-L", str(torch / "lib"), "-ltorch_cpu",
                f"-Wl,-rpath,{rpath}", "-Wl,--no-undefined", "-Wl,--gc-sections", "-s",
                # What PyTorch's own libraries need is theirs to find.
                "-Wl,--allow-shlib-undefined",
            ],
            check=True,
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        # Put in place whole: a process may have the old one open.
        beside = output.with_name(output.name + ".new")
        shutil.copyfile(linked, beside)
        os.chmod(beside, 0o755)
        os.replace(beside, output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--include", type=Path, required=True, help="the folder of embedkernel.h")
    parser.add_argument("--library", type=Path, required=True, help="the folder of libembedkernel.so")
    parser.add_argument("--output", type=Path, default=SOURCES.parent / "_ops.so")
    parser.add_argument("--torch", type=Path, help="the folder of PyTorch; by default this Python's")
    parser.add_argument("--rpath", default="$ORIGIN/../lib", help="where libembedkernel.so will be")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    build(arguments.include, arguments.library, arguments.output, arguments.torch or torch_folder(),
          arguments.rpath, jobs=arguments.jobs)


if __name__ == "__main__":
    main()
