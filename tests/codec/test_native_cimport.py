"""Other compiled modules cimport Reader and Writer, and call them on their own memory.

The module that does it here is built for the test, against the `.pxd` files of the package.
"""

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

import wscore
from wscore.codec import CLIENT, SERVER

pytestmark = [pytest.mark.native, pytest.mark.compiler, pytest.mark.slow]

ROOT = Path(wscore.__file__).parent.parent

EMBEDDER = '''
# cython: language_level=3
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from wscore.codec.native.reader cimport STOP_BUDGET, STOP_DEFECT, STOP_NEED_DATA, Reader
from wscore.codec.native.writer cimport Writer


def echo(bytes data, Reader reader, Writer writer, Py_ssize_t budget):
    """Read `data` from memory of our own, answer each message; what was read, and why it stopped."""
    cdef uint8_t* memory = <uint8_t*>malloc(len(data) + 1)
    cdef list messages = []
    memcpy(memory, <const char*>data, len(data))
    try:
        taken = reader.read_bytes(memory, len(data), messages, budget)
        for message in messages:
            writer.write_message(message, 0)
        writer.write_bytes(2, memory, 2, -1)
        writer.write_control_bytes(9, memory, 1)
        return taken, reader.stop_code, writer.pending_bytes()
    finally:
        free(memory)


STOPS = (STOP_NEED_DATA, STOP_DEFECT, STOP_BUDGET)
'''

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

module = Extension("embedder", ["embedder.pyx"], extra_compile_args=[{flags}])
setup(name="embedder", ext_modules=cythonize([module], include_path=["include"], quiet=True))
"""


def build(folder: Path) -> ModuleType:
    """Compile the embedder against the `.pxd` files in `folder`, and load it."""
    flags = "" if sys.platform == "win32" else '"-O0"'
    (folder / "embedder.pyx").write_text(EMBEDDER)
    (folder / "setup.py").write_text(textwrap.dedent(SETUP.format(flags=flags)))
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    path = folder / ("embedder" + sysconfig.get_config_var("EXT_SUFFIX"))
    spec = importlib.util.spec_from_file_location("embedder", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    """A project that has nothing of wscore but its `.pxd` files."""
    native = Path("wscore", "codec", "native")
    target = tmp_path / "include" / native
    target.mkdir(parents=True)
    for package in (native.parent.parent, native.parent, native):
        (tmp_path / "include" / package / "__init__.py").touch()
    for path in (ROOT / native).glob("*.pxd"):
        shutil.copy(path, target)
    return tmp_path


@pytest.mark.parametrize("codec", ["native"], indirect=True)
def test_a_module_that_cimports_reader_and_writer_calls_them_on_its_own_memory(codec, folder):
    embedder = build(folder)
    assert embedder.STOPS == (0, 2, 3)
    sender, writer = codec.Writer(CLIENT), codec.Writer(SERVER)
    sender.write("text")
    sender.write(b"binary")
    sender.write("beyond the budget")
    data = sender.take()
    first_two = 2 * 6 + len("text") + len("binary")
    assert embedder.echo(data, codec.Reader(SERVER), writer, 100) == (first_two, 3, writer.pending)
    answer = writer.take()
    assert answer == b"\x81\x04text\x82\x06binary\x82\x02" + data[:2] + b"\x89\x01" + data[:1]


@pytest.mark.parametrize("codec", ["native"], indirect=True)
def test_a_module_built_against_another_layout_does_not_load(codec, folder):
    declarations = folder / "include" / "wscore" / "codec" / "native" / "reader.pxd"
    text = declarations.read_text()
    declarations.write_text(text.replace("    cdef int stop_code\n", "    cdef int stop_code\n    cdef double more\n"))
    with pytest.raises(ValueError, match="size changed"):
        build(folder)
