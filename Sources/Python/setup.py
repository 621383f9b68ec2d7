"""Builds the C extension against a C library that is there already; scripts/wheel calls it.

    EMBEDKERNEL_PREFIX    a folder with include/embedkernel.h and lib/libembedkernel.so
    EMBEDKERNEL_VERSION   what scripts/version prints
"""

import os
import pathlib
import sys

import numpy
from setuptools import Extension, setup

try:
    prefix = pathlib.Path(os.environ["EMBEDKERNEL_PREFIX"])
    version = os.environ["EMBEDKERNEL_VERSION"]
except KeyError as missing:
    sys.exit(f"setup.py: {missing.args[0]} is not set; scripts/wheel of the source tree builds the wheel")

core = Extension(
    "embedkernel._core",
    sources=sorted(str(path) for path in pathlib.Path("core").glob("*.c")),
    depends=[str(path) for path in pathlib.Path("core").glob("*.h")],
    include_dirs=[str(prefix / "include"), numpy.get_include()],
    library_dirs=[str(prefix / "lib")],
    libraries=["embedkernel"],
    # The library lies in the package, beside the extension.
    extra_link_args=["-Wl,-rpath,$ORIGIN/lib", "-Wl,--exclude-libs,ALL", "-Wl,--as-needed", "-s"],
    extra_compile_args=["-std=c17", "-O2", "-g0", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"],
    py_limited_api=True,
)

setup(version=version, ext_modules=[core], options={"bdist_wheel": {"py_limited_api": "cp311"}})
