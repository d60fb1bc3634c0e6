"""Builds the compiled twins of the codec; everything else about the package stands in pyproject.toml.

Two switches, both environment variables:
    WSCORE_PURE=1            build no extension at all
    WSCORE_REQUIRE_NATIVE=1  a build that fails is an error (otherwise the package installs on the pure twins)
"""

import os
import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

NATIVE = Path("wscore/codec/native")
KERNELS = Path("wscore/codec/kernels")
# What modules have beside their own source: deflate calls zlib's C interface, and one module holds the kernels.
LIBRARIES = {"deflate": ["z"]}
SOURCES = {"kernels": sorted(path.as_posix() for path in KERNELS.glob("*.c"))}
FLAGS = [] if sys.platform == "win32" else ["-O3"]


def chosen(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def native_modules() -> list[Extension]:
    if chosen("WSCORE_PURE") or platform.python_implementation() != "CPython":
        return []
    headers = sorted(path.as_posix() for path in [*NATIVE.glob("*.pxd"), *KERNELS.glob("*.h")])
    return [
        Extension(
            f"wscore.codec.native.{source.stem}",
            [source.as_posix(), *SOURCES.get(source.stem, [])],
            include_dirs=[KERNELS.as_posix()],
            depends=headers,
            libraries=LIBRARIES.get(source.stem, []),
            extra_compile_args=FLAGS,
        )
        for source in sorted(NATIVE.glob("*.pyx"))
    ]


class AllOrNothing(build_ext):
    """Builds every module or leaves none behind: half a set of twins would neither load nor be absent."""

    def run(self) -> None:
        # Cython, whose own build_ext setuptools extends, reads this when it compiles each .pyx.
        self.cython_directives = {"language_level": 3}
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            if chosen("WSCORE_REQUIRE_NATIVE"):
                raise
            self.warn(f"the compiled codec could not be built ({error}); installing the pure one")
            self.leave_nothing()

    def leave_nothing(self) -> None:
        for inplace in (False, True) if self.editable_mode else (self.inplace,):
            self.inplace = inplace
            for module in self.extensions:
                Path(self.get_ext_fullpath(module.name)).unlink(missing_ok=True)
        self.extensions = []


setup(ext_modules=native_modules(), cmdclass={"build_ext": AllOrNothing})
