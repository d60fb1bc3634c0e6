"""Without Trio, h11 and what other extras bring: what runs, and how it is told which command brings the rest."""

import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.checkout

ECHO_ON_ASYNCIO = """
import asyncio, sys
from wscore.adapters.asyncio import connect, serve

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def main():
    async with await serve(echo, "127.0.0.1", 0) as server:
        host, port = server.addresses[0][:2]
        async with connect(f"ws://{host}:{port}/") as ws:
            await ws.send("hello")
            print(await ws.receive())

asyncio.run(main())
assert not {"trio", "h11"} & set(sys.modules)
"""
PAGE_OF_METRICS = "from wscore.server import metrics; metrics.page({})"
SIGNED_TOKENS = "from wscore.server.auth import jwt_auth\nauthorize = jwt_auth('x' * 32, 'HS256')\n"


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which nothing is installed, not even pip."""
    folder = tmp_path_factory.mktemp("bare")
    venv.EnvBuilder(symlinks=sys.platform != "win32").create(folder)
    return folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def run(python: Path | str, *arguments: str, at: Path | None = None) -> tuple[int, str, str]:
    env = {name: value for name, value in os.environ.items() if name in ("WSCORE_PURE", "PATH", "SYSTEMROOT")}
    done = subprocess.run(
        [python, *arguments], env=env | {"PYTHONPATH": str(ROOT)}, cwd=at, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stdout, done.stderr


def without(*modules: str) -> str:
    """A program that begins so has none of `modules`, whatever is installed."""
    return f"import sys; sys.modules |= dict.fromkeys({modules!r})\n"


@pytest.mark.parametrize(
    ("program", "prints"),
    [
        ("import wscore; wscore.codec.DeflatePool(); print(wscore.codec.is_valid_utf8(b'x'))", "True\n"),
        ("from wscore import codec; print(codec.mask(b'a', b'abcd'))", "b'\\x00'\n"),
        ("import wscore; c = wscore.Connection(wscore.CLIENT); c.send('x'); print(len(c.data_to_send()))", "7\n"),
        (ECHO_ON_ASYNCIO, "hello\n"),
    ],
    ids=["codec", "its name", "protocol", "asyncio"],
)
def test_what_needs_nothing_runs(bare: Path, program: str, prints: str) -> None:
    assert run(bare, "-c", program) == (0, prints, "")


def test_the_codec_is_loaded_when_it_is_first_used(bare: Path) -> None:
    program = "import sys, wscore; assert 'wscore.codec' not in sys.modules; print(wscore.codec is wscore.codec)"
    assert run(bare, "-c", program) == (0, "True\n", "")


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["serve", "--help"], ["bench", "--help"]])
def test_the_program_says_what_it_is(bare: Path, arguments: list[str]) -> None:
    status, printed, errors = run(bare, "-m", "wscore", *arguments)
    assert (status, errors) == (0, "")
    assert "wscore" in printed


@pytest.mark.parametrize(
    "arguments", [["serve", "--port", "0"], ["connect", "ws://127.0.0.1:9/"], ["bench", "ws://127.0.0.1:9/"]]
)
def test_each_command_names_in_one_line_what_brings_it(bare: Path, arguments: list[str]) -> None:
    line = f"wscore: wscore {arguments[0]} needs Trio and h11: pip install 'wscore-websockets[server]'\n"
    assert run(bare, "-m", "wscore", *arguments) == (2, "", line)


@pytest.mark.parametrize("name", ["serve", "serve_stream", "Server", "connect", "WebSocket", "ConnectionClosed"])
@pytest.mark.parametrize("way", ["import wscore; wscore.{}", "from wscore import {}"])
def test_names_that_need_trio_say_which_extra_brings_it(bare: Path, way: str, name: str) -> None:
    status, _, errors = run(bare, "-c", way.format(name))
    sentence = f"wscore.{name} needs Trio and h11: pip install 'wscore-websockets[trio]'"
    assert (status, errors.splitlines()[-1]) == (1, f"wscore._extras.MissingExtra: {sentence}")


def test_metrics_say_which_extras_bring_them(bare: Path) -> None:
    status, _, errors = run(bare, "-c", "from wscore.server import metrics")
    sentence = "wscore.server.metrics needs Trio and h11: pip install 'wscore-websockets[metrics,trio]'"
    assert (status, errors.splitlines()[-1]) == (1, f"wscore._extras.MissingExtra: {sentence}")


def test_help_shows_what_there_is(bare: Path) -> None:
    """It looks at every name of `dir(wscore)`."""
    status, printed, errors = run(bare, "-c", "import wscore; help(wscore)")
    assert (status, errors) == (0, "")
    assert "class Connection(" in printed
    program = "import wscore; print(*dir(wscore))"
    _, names, _ = run(bare, "-c", program)
    _, all_names, _ = run(sys.executable, "-c", program)
    missing = "ConnectionClosed ConnectionLost Server WebSocket connect serve serve_stream"
    assert set(all_names.split()) - set(names.split()) == set(missing.split())


def test_it_is_an_import_error(bare: Path) -> None:
    program = "import wscore\ntry:\n    wscore.serve\nexcept ImportError as error:\n    print(error)"
    sentence = "wscore.serve needs Trio and h11: pip install 'wscore-websockets[trio]'"
    assert run(bare, "-c", program) == (0, f"{sentence}\n", "")


def test_a_module_that_is_there_and_fails_is_not_taken_for_a_missing_one(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "trio.py").write_text("raise ImportError('it is broken')\n")
    status, _, errors = run(bare, "-c", "import wscore; wscore.serve", at=tmp_path)
    assert (status, errors.splitlines()[-1]) == (1, "ImportError: it is broken")


@pytest.mark.parametrize("how", [[], ["--workers", "2"], ["--log-format", "json"]])
def test_metrics_name_their_extra_before_anything_is_opened(tmp_path: Path, how: list[str]) -> None:
    serve = ["serve", "--port", "0", "--metrics", "127.0.0.1:0", *how]
    program = without("prometheus_client") + (
        "import socket; socket.create_server = socket.socket.bind = None\n"
        f"from wscore.cli.main import main; sys.exit(main({serve}))"
    )
    status, printed, errors = run(sys.executable, "-c", program)
    assert (status, printed, errors.count("\n")) == (2, "", 1)
    assert "a page of metrics needs prometheus-client: pip install 'wscore-websockets[metrics]'" in errors


@pytest.mark.parametrize(
    ("absent", "program", "sentence"),
    [
        ("prometheus_client", PAGE_OF_METRICS, "a page of metrics needs prometheus-client: pip install '{}[metrics]'"),
        ("jwt", SIGNED_TOKENS, "a signed token needs PyJWT and cryptography: pip install '{}[auth]'"),
    ],
)
def test_functions_name_the_extra_that_they_need(absent: str, program: str, sentence: str) -> None:
    status, _, errors = run(sys.executable, "-c", without(absent) + program)
    last = f"wscore._extras.MissingExtra: {sentence.format('wscore-websockets')}"
    assert (status, errors.splitlines()[-1]) == (1, last)


def test_a_program_that_is_served_may_lack_an_extra_too(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(SIGNED_TOKENS + "async def handler(ws): ...\n")
    serve = ["serve", "--port", "0", "--app", "app:handler", "--authorize", "app:authorize"]
    program = without("jwt") + f"from wscore.cli.main import main; sys.exit(main({serve}))"
    sentence = "a signed token needs PyJWT and cryptography: pip install 'wscore-websockets[auth]'"
    assert run(sys.executable, "-c", program, at=tmp_path) == (2, "", f"wscore: cannot import app: {sentence}\n")


# What the project says of itself


def project() -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def test_the_distribution_has_a_name_of_its_own_and_needs_nothing() -> None:
    assert (project()["name"], project()["dependencies"]) == ("wscore-websockets", [])
    assert project()["scripts"] == {"wscore": "wscore.cli.main:main"}


def test_each_extra_has_what_it_promises() -> None:
    extras = {name: set(needs) for name, needs in project()["optional-dependencies"].items()}  # type: ignore[attr-defined]
    assert set(extras) == {"trio", "client", "server", "auth", "metrics", "test"}
    assert extras["trio"] <= extras["client"] <= extras["server"]
    assert extras["trio"] | extras["auth"] | extras["metrics"] <= extras["test"] & extras["server"]


def test_other_libraries_stand_beside_the_tests_and_benchmarks_alone() -> None:
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.")[0]
    for name in ("tests/interop", "benchmarks"):
        if not (ROOT / name).exists():
            continue
        pinned = re.findall(r"^([\w-]+)==", (ROOT / name / "requirements.txt").read_text(encoding="utf-8"), re.M)
        assert {"websockets", "picows", "aiohttp"} <= set(pinned)
        assert [rival for rival in pinned if rival != "uvloop" and re.search(rf'"{rival}[=<>"\[]', metadata)] == []


def test_nothing_tells_anybody_to_install_the_package_of_somebody_else() -> None:
    tracked = [path for ending in ("py", "pyx", "md", "toml", "yml") for path in ROOT.glob(f"[!.]*/**/*.{ending}")]
    tracked += [*ROOT.glob("*.md"), *ROOT.glob("*.toml"), *ROOT.glob(".github/**/*.yml"), *ROOT.glob(".ci/*")]
    theirs = re.compile(r"wscore\[|pip3? install (-\S+ )*[\"']?wscore(?![-\w/.])|requires.*\"wscore\"")
    here = Path(__file__)
    wrong = [path for path in tracked if path != here and theirs.search(path.read_text(encoding="utf-8"))]
    assert len(tracked) > 100
    assert wrong == []
