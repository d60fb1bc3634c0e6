"""The program's outermost layer: version, usage and exit statuses."""

import platform
import runpy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import wscore
from wscore import codec
from wscore.cli import Failure, complain, reason
from wscore.cli.main import main, version


async def test_version_says_version_implementation_kernel_zlib_and_python(run: Callable[..., Any]) -> None:
    status, output, errors = await run("--version")
    parts = (
        f"wscore {wscore.__version__}",
        codec.IMPLEMENTATION,
        f"kernel {codec.KERNEL}",
        codec.DEFLATE_LIBRARY,
        f"Python {platform.python_version()}",
    )
    assert output.splitlines()[0] == ", ".join(parts)
    assert (status, errors) == (0, "")


async def test_version_names_the_pure_twin_where_it_is_forced(run: Callable[..., Any]) -> None:
    _, output, _ = await run("--version", env={"WSCORE_PURE": "1"})
    assert ", pure, kernel none, zlib " in output


def test_version_shows_why_an_extension_did_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "LOAD_ERROR", "undefined symbol: PyFoo")
    assert version().splitlines()[1:] == ["The extension did not load: undefined symbol: PyFoo"]


def test_without_a_command_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "wscore: say what to do: serve, connect URL, or bench URL (see wscore --help)\n"


@pytest.mark.parametrize(
    "arguments", [["dance"], ["connect"], ["serve", "extra"], ["--frob"], ["connect", "ws://a", "-x"], ["bench"]]
)
def test_a_wrong_command_line_is_one_sentence_and_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["connect", "--help"], ["bench", "--help"]])
def test_help_is_no_error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert "usage: wscore" in capsys.readouterr().out


def test_help_and_version_load_no_trio() -> None:
    code = "import sys; from wscore.cli.main import version; version(); print('trio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


def test_a_value_in_the_environment_that_makes_no_sense_is_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WSCORE_PORT", "x")
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == "wscore: WSCORE_PORT must be a number from 0 to 65535, not 'x'\n"


def test_python_m_wscore_is_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["wscore", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("wscore", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out == version()


def test_complaints_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    complain("the peer said \x1b[2J\n")
    assert capsys.readouterr().err == "wscore: the peer said \\x1b[2J\\n\n"


def test_reasons_are_short() -> None:
    assert reason(FileNotFoundError(2, "No such file or directory", "name")) == "No such file or directory"
    assert reason(OSError()) == "OSError"
    several = OSError("all attempts failed")
    several.__cause__ = ExceptionGroup("", [ConnectionRefusedError(111, "Connection refused"), OSError(1, "Other")])
    assert reason(several) == "Connection refused"


def test_a_failure_is_one_sentence_and_a_status() -> None:
    failure = Failure("it broke", 2)
    assert (str(failure), failure.sentence, failure.status) == ("it broke", "it broke", 2)
