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

from ..wire import BINARY, CONTINUATION, PING, TEXT, from_client

pytestmark = [pytest.mark.native, pytest.mark.compiler, pytest.mark.slow]

ROOT = Path(wscore.__file__).parent.parent

EMBEDDER = '''
# cython: language_level=3, freethreading_compatible=True
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


def pour(bytearray data, Reader reader, Py_ssize_t budget):
    """Read `data` where it lies, by pointer and length: the messages, what was read, and why it stopped."""
    cdef list messages = []
    taken = reader.read_messages(data, len(data), collect, <void*>messages, budget)
    return messages, taken, reader.stop_code


cdef int collect(void* context, int opcode, const uint8_t* data, Py_ssize_t size) except -1:
    message = (<const char*>data)[:size]
    if message == b"no":
        raise RuntimeError("the sink wants no more")
    (<list>context).append((opcode, message))
    return 0


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


def with_declarations(folder: Path) -> Path:
    """Make of `folder` a project that has nothing of wscore but its `.pxd` files."""
    native = Path("wscore", "codec", "native")
    target = folder / "include" / native
    target.mkdir(parents=True)
    for package in (native.parent.parent, native.parent, native):
        (folder / "include" / package / "__init__.py").touch()
    for path in (ROOT / native).glob("*.pxd"):
        shutil.copy(path, target)
    return folder


@pytest.fixture
def folder(tmp_path):
    return with_declarations(tmp_path)


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


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return build(with_declarations(tmp_path_factory.mktemp("embedder")))


ENOUGH = 1 << 30


@pytest.mark.parametrize("codec", ["native"], indirect=True)
def test_messages_come_by_pointer_and_length(codec, embedder):
    reader = codec.Reader(SERVER)
    data = from_client(TEXT, "żółw".encode()) + from_client(BINARY, b"") + from_client(BINARY, b"ab" * 50_000)
    data += from_client(TEXT, b"two ", fin=False) + from_client(CONTINUATION, b"parts")
    expected = [(1, "żółw".encode()), (2, b""), (2, b"ab" * 50_000), (1, b"two parts")]
    assert embedder.pour(bytearray(data), reader, ENOUGH) == (expected, len(data), 0)
    # The same in pieces of any size, which are kept inside.
    messages = []
    for start in range(0, len(data), 7):
        messages += embedder.pour(bytearray(data[start : start + 7]), reader, ENOUGH)[0]
    assert messages == expected


@pytest.mark.parametrize("codec", ["native"], indirect=True)
def test_compressed_messages_come_so_too(codec, embedder):
    writer = codec.Writer(CLIENT, deflater=codec.Deflater())
    writer.write("compressed " * 100)
    reader = codec.Reader(SERVER, inflater=codec.Inflater())
    data = bytearray(writer.take())
    assert embedder.pour(data, reader, ENOUGH) == ([(1, b"compressed " * 100)], len(data), 0)


@pytest.mark.parametrize("codec", ["native"], indirect=True)
def test_a_budget_a_broken_rule_and_a_control_frame_stop_it(codec, embedder):
    reader = codec.Reader(SERVER, max_message_size=10)
    one, ping = from_client(BINARY, b"x"), from_client(PING, b"?")
    assert embedder.pour(bytearray(one + one), reader, 9) == ([(2, b"x")], len(one), 3)
    assert embedder.pour(bytearray(one + ping + one), reader, ENOUGH) == ([(2, b"x")], len(one + ping), 1)
    assert reader.control == (PING, b"?")
    data = bytearray(one + from_client(TEXT, b"\xff"))
    assert embedder.pour(data, reader, ENOUGH) == ([(2, b"x")], len(data), 2)
    assert reader.defect.code == 1007
    reader = codec.Reader(SERVER, max_message_size=10)
    assert embedder.pour(bytearray(from_client(BINARY, bytes(10))), reader, ENOUGH)[2] == 0
    assert embedder.pour(bytearray(from_client(BINARY, bytes(11))), reader, ENOUGH)[2] == 2


@pytest.mark.parametrize("codec", ["native"], indirect=True)
def test_after_an_error_of_the_sink_nothing_more_is_read(codec, embedder):
    reader = codec.Reader(SERVER)
    with pytest.raises(RuntimeError, match="no more"):
        embedder.pour(bytearray(from_client(TEXT, b"no") + from_client(TEXT, b"yes")), reader, ENOUGH)
    assert embedder.pour(bytearray(from_client(TEXT, b"yes")), reader, ENOUGH)[0] == []


@pytest.mark.parametrize("codec", ["native"], indirect=True)
def test_pieces_have_no_sink(codec, embedder):
    with pytest.raises(ValueError, match="whole messages"):
        embedder.pour(bytearray(), codec.Reader(SERVER, pieces=True), ENOUGH)


@pytest.mark.parametrize("codec", ["native"], indirect=True)
def test_a_module_built_against_another_layout_does_not_load(codec, folder):
    declarations = folder / "include" / "wscore" / "codec" / "native" / "reader.pxd"
    text = declarations.read_text()
    declarations.write_text(text.replace("    cdef int stop_code\n", "    cdef int stop_code\n    cdef double more\n"))
    with pytest.raises(ValueError, match="size changed"):
        build(folder)
