"""Builds the extension beside this file, from the kernels' own sources and the codec's own inline functions.

With `WSCORE_SIMDUTF` set, to the prefix under which simdutf is installed (include/, lib/) or to 1 for the compiler's
own paths, its validation is measured, too.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Distribution, Extension

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KERNELS = ROOT / "wscore" / "codec" / "kernels"


def extension() -> Extension:
    sources = [HERE / "kernel_bench.pyx", *sorted(KERNELS.glob("*.c"))]
    found = Extension(
        f"{__package__}.kernel_bench",
        [str(source) for source in sources],
        include_dirs=[str(KERNELS), str(HERE)],
        extra_compile_args=["-O3"],
        language="c",
    )
    simdutf = os.environ.get("WSCORE_SIMDUTF", "")
    if simdutf:
        found.sources.append(str(HERE / "simdutf_bench.cpp"))
        found.define_macros.append(("WSCORE_SIMDUTF", "1"))
        found.libraries += ["simdutf", "stdc++"]
        if simdutf != "1":
            found.include_dirs.append(f"{simdutf}/include")
            found.library_dirs.append(f"{simdutf}/lib")
    return found


def build() -> Path:
    """Returns the path of what was built."""
    with tempfile.TemporaryDirectory() as scratch:
        modules = cythonize([extension()], build_dir=scratch, language_level=3, quiet=True, include_path=[str(ROOT)])
        command = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
        command.build_temp = scratch
        command.build_lib = str(ROOT)
        command.ensure_finalized()
        command.run()
        return Path(command.get_ext_fullpath(modules[0].name))
