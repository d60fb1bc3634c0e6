"""The adapter has wsproto's modules and names, and takes its place in a process."""

import __future__

import importlib
import inspect
import os
import subprocess
import sys
from types import GenericAlias, ModuleType
from typing import TypeVar

import pytest

from wscore.adapters import wsproto as ours

MODULES = ["connection", "events", "extensions", "frame_protocol", "handshake", "typing", "utilities"]
# How wsproto's FrameDecoder goes about a header, which nothing else calls.
STEPS = {"extension_processing", "parse_extended_payload_length", "parse_header"}


def run(program: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def _home(value: object, module: ModuleType) -> str:
    if inspect.ismodule(value) or isinstance(value, TypeVar | __future__._Feature) or value is False:
        return ""
    return module.__name__ if isinstance(value, GenericAlias) else getattr(value, "__module__", module.__name__)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_of_wsproto_is_there(module):
    pytest.importorskip("wsproto")
    theirs, mine = importlib.import_module(f"wsproto.{module}"), importlib.import_module(f"{ours.__name__}.{module}")
    # Constants have no module; what has another one is only used there.
    public = [
        name for name, value in vars(theirs).items() if _home(value, theirs) == theirs.__name__ and name[0] != "_"
    ]
    assert public
    assert [name for name in public if not hasattr(mine, name)] == []


@pytest.mark.parametrize("module", MODULES)
def test_classes_have_the_same_public_methods_and_first_parameters(module):
    pytest.importorskip("wsproto")
    theirs, mine = importlib.import_module(f"wsproto.{module}"), importlib.import_module(f"{ours.__name__}.{module}")
    for name, one in inspect.getmembers(theirs, inspect.isclass):
        if one.__module__ != theirs.__name__:
            continue
        other = getattr(mine, name)
        assert {each for each in dir(one) if each[0] != "_"} <= {*dir(other), *STEPS, "register"}, name
        for method, function in inspect.getmembers(one, inspect.isfunction):
            if method[0] == "_" or method in STEPS:
                continue
            wanted = list(inspect.signature(function).parameters)
            assert list(inspect.signature(getattr(other, method)).parameters)[: len(wanted)] == wanted, (name, method)


def test_its_version_is_the_one_whose_interface_it_is():
    wsproto = pytest.importorskip("wsproto")
    assert ours.__version__ == wsproto.__version__


def test_installed_it_is_what_import_wsproto_finds():
    program = f"""
from wscore.adapters.wsproto import Limits, install
install(Limits(max_message_size=5))
install()
import wsproto, wsproto.frame_protocol as frames
from wsproto.events import TextMessage
from wsproto.connection import CLIENT, SERVER, Connection
for module in {MODULES}:
    __import__("wsproto." + module)
    assert getattr(wsproto, module).__name__ == "wscore.adapters.wsproto." + module
assert frames.FrameProtocol.__module__ == "wscore.adapters.wsproto.frame_protocol"
server = Connection(SERVER)
server.receive_data(Connection(CLIENT).send(TextMessage("123456")))
[close] = server.events()
assert close.code is frames.CloseReason.MESSAGE_TOO_BIG
"""
    assert run(program).stderr == ""


def test_it_does_not_come_too_late():
    pytest.importorskip("wsproto")
    ran = run("import wsproto.events; from wscore.adapters.wsproto import install; install()")
    assert "RuntimeError: wsproto was imported already" in ran.stderr.splitlines()[-1]


def test_it_needs_no_wsproto_and_h11_only_for_refusals():
    program = """
import sys
sys.modules["wsproto"] = sys.modules["h11"] = None
import wscore.adapters.wsproto as w
from wscore.adapters.wsproto.events import *
client, server = w.WSConnection(w.ConnectionType.CLIENT), w.WSConnection(w.ConnectionType.SERVER)
server.receive_data(client.send(Request("x", "/")))
[_] = server.events()
client.receive_data(server.send(AcceptConnection()))
assert [*client.events()] == [AcceptConnection()]
"""
    assert run(program).stderr == ""


def test_a_module_runs_on_it(tmp_path):
    (tmp_path / "program.py").write_text("import sys, wsproto; print(wsproto.__name__, sys.argv[1:], __name__)")
    command = [sys.executable, "-m", ours.__name__, "program", "--option", "x"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=True)
    assert ran.stdout == "wscore.adapters.wsproto ['--option', 'x'] __main__\n"


def test_a_folder_on_the_path_is_enough_for_other_programs():
    printed = subprocess.run(
        [sys.executable, "-m", ours.__name__], capture_output=True, text=True, timeout=120, check=True
    )
    program = "import wsproto.events, wsproto; print(wsproto.__name__, wsproto.events.Event.__module__)"
    environment = {**os.environ, "PYTHONPATH": printed.stdout.strip()}
    ran = run(program, env=environment)
    assert (ran.stdout, ran.stderr) == ("wscore.adapters.wsproto wscore.adapters.wsproto.events\n", "")
