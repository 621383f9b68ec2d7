"""Lets a PyTorch that was built for CUDA be imported without CUDA's libraries, which are gigabytes.

Empty libraries with the symbols that PyTorch asks for are put beside its own. Whatever calls one of them
crashes, so this is for tests on the CPU alone:

    pip install --no-deps torch nvidia-cuda-runtime nvidia-cuda-cupti
    pip install filelock typing-extensions sympy networkx jinja2 fsspec setuptools
    python without_cuda.py FOLDER-OF-TORCH
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path


def needed(library: Path) -> list[str]:
    """The libraries that `library` names, by their sonames."""
    text = subprocess.run(["readelf", "-d", str(library)], capture_output=True, text=True, check=True).stdout
    return [line.split("[")[1].rstrip("]") for line in text.splitlines() if "(NEEDED)" in line]


def undefined(library: Path) -> list[tuple[str, str]]:
    """The symbols that `library` takes from others, with their versions."""
    text = subprocess.run(["nm", "-D", "--undefined-only", str(library)], capture_output=True, text=True, check=True)
    pairs = (line.split()[-1].partition("@") for line in text.stdout.splitlines())
    return [(name, version) for name, _, version in pairs]


def main() -> None:
    torch = Path(sys.argv[1])
    folder = torch / "lib"
    own = sorted(folder.glob("lib*.so*"))
    present = {path.name for path in own} | {path.name for path in torch.parent.glob("nvidia/**/lib*.so*")}
    missing = set()
    wanted: dict[str, set[str]] = {}
    for library in own:
        for soname in needed(library):
            if soname not in present and soname.startswith(("libcu", "libnccl", "libnv")):
                missing.add(soname)
        for name, version in undefined(library):
            wanted.setdefault(version, set()).add(name)
    missing.discard("libcuda.so.1")  # The driver's, which is looked for when it is used.
    for soname in sorted(missing):
        stem = soname[3:].split(".")[0].split("_")[0].lower()
        version = next((found for found in wanted if found and soname.startswith("lib" + found.lower())), soname)
        symbols = wanted.get(version, set()) | {name for name in wanted.get("", ()) if name.lower().startswith(stem)}
        with tempfile.TemporaryDirectory() as work:
            source, script = Path(work) / "empty.c", Path(work) / "empty.map"
            source.write_text("".join(f"char {name}[256];\n" for name in sorted(symbols)) + "\n")
            script.write_text(f"{version} {{ global: *; }};\n")
            subprocess.run(
                ["cc", "-shared", "-fPIC", "-w", "-o", str(folder / soname), f"-Wl,-soname,{soname}",
                 f"-Wl,--version-script={script}", str(source)],
                check=True,
            )
        print(f"{soname}: {len(symbols)} symbols")


if __name__ == "__main__":
    main()
