"""Builds what is compiled: the twins of the codec, that of the adapter for asyncio, the session, and the reactor.

Decides, too, how the README reads on the package's page: with links that lead from there to the sources of this
version. Everything else about the package stands in pyproject.toml.

Three switches, all of them environment variables:
    WSCORE_PURE=1            build no extension at all
    WSCORE_REQUIRE_NATIVE=1  a build that fails is an error (otherwise the package installs on the pure twins)
    WSCORE_ZLIB_NG=FOLDER    link deflate statically with the zlib-ng that .ci/zlib_ng.py has put into FOLDER
"""

import os
import platform
import re
import shutil
import sys
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

CODEC = Path("wscore/codec/native")
KERNELS = Path("wscore/codec/kernels")
REACTOR = Path("wscore/transport/reactor")
ADAPTER = Path("wscore/adapters/asyncio")
SESSION = Path("wscore/session")
# What modules have beside their own source: the kernels, and the poller for every system.
SOURCES = {
    "kernels": sorted(path.as_posix() for path in KERNELS.glob("*.c")),
    "engine": [(REACTOR / name).as_posix() for name in ("epoll.c", "kqueue.c")],
}
HEADERS = {".h", ".pxd", ".pxi"}
# What zlib-ng calls its static library where it takes the place of zlib.
ARCHIVES = ("libz.a", "zlibstatic.lib")
FLAGS = [] if sys.platform == "win32" else ["-O3"]
# What is linked into a module stays inside: Python loads a zlib of its own into the same process, and neither may get
# the calls that are meant for the other.
LINKING = ["-Wl,--version-script=wscore/codec/native/exports.map"] if sys.platform.startswith("linux") else []


def chosen(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def link_with_zlib(module: Extension) -> None:
    """Link with the system's zlib, or statically with zlib-ng."""
    prefix = os.environ.get("WSCORE_ZLIB_NG", "")
    if not prefix:
        module.libraries.append("z")
        return
    archive = next((path for name in ARCHIVES if (path := Path(prefix, "lib", name)).exists()), None)
    if archive is None:
        raise SystemExit(f"WSCORE_ZLIB_NG={prefix}: there is no static library; make one with .ci/zlib_ng.py")
    module.include_dirs.append(str(Path(prefix, "include")))
    module.extra_objects.append(str(archive))
    module.depends.append(str(archive))


def native_modules() -> list[Extension]:
    if chosen("WSCORE_PURE") or platform.python_implementation() != "CPython":
        return []
    # Windows has no poller for the reactor.
    folders = [CODEC, ADAPTER] if sys.platform == "win32" else [CODEC, ADAPTER, REACTOR]
    places = [*folders, KERNELS, SESSION / "native"]
    headers = [path for folder in places for path in folder.glob("*") if path.suffix in HEADERS]
    modules = [
        Extension(
            ".".join(source.with_suffix("").parts),
            [source.as_posix(), *SOURCES.get(source.stem, [])],
            include_dirs=[KERNELS.as_posix(), REACTOR.as_posix()],
            depends=sorted(path.as_posix() for path in headers),
            extra_compile_args=FLAGS,
            extra_link_args=LINKING,
        )
        for folder in folders
        for source in sorted(folder.glob("*.pyx"))
    ]
    for module in modules:
        if module.name.endswith(".deflate"):
            link_with_zlib(module)
    return modules + session_modules()


def session_modules() -> list[Extension]:
    """What a .pxd in `session/native` has types for is compiled from the plain source, under the name of the .pxd."""
    types = sorted((SESSION / "native").glob("*.pxd"))
    modules = [
        Extension(
            ".".join(each.with_suffix("").parts),
            [(SESSION / f"{each.stem}.py").as_posix()],
            depends=[path.as_posix() for path in types],
            extra_compile_args=FLAGS,
            extra_link_args=LINKING,
        )
        for each in types
    ]
    for module in modules:
        module.cython_directives = OF_PLAIN_SOURCES
    forget_translations_older_than(types)
    return modules


def forget_translations_older_than(types: list[Path]) -> None:
    """Cython looks for changes of a .pxd beside the source only."""
    newest = max((path.stat().st_mtime for path in types), default=0.0)
    for path in types:
        translated = SESSION / f"{path.stem}.c"
        if translated.exists() and translated.stat().st_mtime < newest:
            translated.unlink()


# Types come from the .pxd alone; whoever leaves out `__init__` gets an exception.
OF_PLAIN_SOURCES = {
    "annotation_typing": False,
    "auto_pickle": False,
    "freethreading_compatible": True,
    "nonecheck": True,
}


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
        self.extensions = self.distribution.ext_modules = []


class AsItWasBuilt(bdist_wheel):
    """Is for every machine if no module came about, and says of the library that is linked in what .ci/zlib_ng.py does,
    where PEP 770 wants it.
    """

    def run(self) -> None:
        self.run_command("build")
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()

    def write_wheelfile(self, wheelfile_base: str, *generator: str) -> None:
        super().write_wheelfile(wheelfile_base, *generator)
        prefix = os.environ.get("WSCORE_ZLIB_NG", "")
        if prefix and self.get_finalized_command("build_ext").extensions:
            for bill in Path(prefix, "share", "sbom").glob("*.cdx.json"):
                folder = Path(wheelfile_base, "sboms")
                folder.mkdir(exist_ok=True)
                shutil.copy(bill, folder)


def readme() -> str:
    """Return README.md with links that lead somewhere from anywhere."""
    sources = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"]
    (version,) = re.findall(r'__version__ = "(.*)"', Path("wscore/_version.py").read_text(encoding="utf-8"))

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[1].startswith("!") else "blob"
        return f"{link[1]}{sources}/{kind}/v{version}/{'README.md#' if link[2] else ''}"

    return re.sub(r"(!?\[[^\[\]]*\]\()(#?)(?!\w+:)", absolute, Path("README.md").read_text(encoding="utf-8"))


setup(
    ext_modules=native_modules(),
    cmdclass={"build_ext": AllOrNothing, "bdist_wheel": AsItWasBuilt},
    long_description=readme(),
    long_description_content_type="text/markdown",
)
