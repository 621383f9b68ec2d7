"""The command as one file: Swift's libraries, the C++ library, zlib and PCRE2 are in it, and it asks a machine
for the C library and gcc's runtime alone; OpenBLAS is opened where it is there."""

import os
import pathlib
import re
import shutil
import subprocess

from benchlib import environment

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What any system with glibc has.
EVERYWHERE = re.compile(r"(lib(c|m|dl|pthread|rt|gcc_s)|ld-linux-[\w-]+)\.so\.\d+")
# Libraries that are linked as archives, for there to be nothing to install.
ARCHIVES = ("libz.a", "libpcre2-8.a", "libstdc++.a")


def output(*command):
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if result.returncode != 0:
        raise environment.Failure(f"{' '.join(map(str, command))}: {result.stderr.strip()}")
    return result.stdout.strip()


def build(folder, version):
    """Builds it below `folder`, which keeps what was built for the next time, and returns its path."""
    archives = folder / "archives"
    shutil.rmtree(archives, ignore_errors=True)
    archives.mkdir(parents=True)
    for name in ARCHIVES:
        path = output("gcc", f"-print-file-name={name}")
        if not os.path.isabs(path):
            raise environment.Failure(f"no {name} on this machine; scripts/setup installs it")
        # The linker takes the first folder that has the library, and here it has it in one form.
        (archives / name).symlink_to(path)
    # What the package's own release build compiles, linked once more: --static-swift-stdlib would have
    # all of it compiled anew.
    options = ["--package-path", ROOT, "-c", "release", "--product", "embedkernel"]
    environment.run(["swift", "build", *options], "could not build the command")
    release = pathlib.Path(output("swift", "build", *options, "--show-bin-path"))
    objects = release / "embedkernel.product" / "Objects.LinkFileList"
    built = folder / "embedkernel.whole"
    environment.run(
        ["swiftc", "-emit-executable", "-static-stdlib", f"@{objects}", f"-L{archives}", "-ldl", "-lm"]
        # The package manager names an executable's main for its target.
        + ["-Xlinker", "--defsym=main=CommandEntry_main", "-Xlinker", "--gc-sections", "-o", built],
        "could not link the command",
    )
    binary = folder / "embedkernel"
    environment.run(["strip", "-o", binary, built], "could not strip the command")
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", output("readelf", "--dynamic", binary))
    others = [name for name in needed if not EVERYWHERE.fullmatch(name)]
    if others or not needed:
        raise environment.Failure(f"the command needs {', '.join(others) or 'nothing: it was not read'}")
    told = output(binary, "--version")
    if told != f"embedkernel {version}":
        raise environment.Failure(f"the command says '{told}', not embedkernel {version}")
    return binary
