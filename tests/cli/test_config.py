"""The configuration file: what it may say, what it must not, and what comes before it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wscore.cli.config import read_config
from wscore.cli.options import SERVE, Parser, add_options, settings_of

EVERYTHING = """
host = "0.0.0.0"
port = 9000
metrics = "[::1]:9100"
allowed-origin = ["https://one.example", "https://two.example"]
compression = "takeover"
max-message-size = "16MiB"
max-send-buffer = 65536
ping-interval = "off"
ping-timeout = 2.5
gc-freeze = true
pieces = false
app = "chat.rooms:Lobby.handler"
"""


def read(folder: Path, text: str | bytes) -> dict[str, Any]:
    path = folder / "wscore.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_config(str(path), SERVE)


def test_values_are_understood(tmp_path: Path) -> None:
    settings = read(tmp_path, EVERYTHING)
    assert settings == {
        "host": "0.0.0.0",
        "port": 9000,
        "metrics": ("::1", 9100),
        "allowed_origin": ["https://one.example", "https://two.example"],
        "compression": "takeover",
        "max_message_size": 16 << 20,
        "max_send_buffer": 65536,
        "ping_interval": None,
        "ping_timeout": 2.5,
        "gc_freeze": True,
        "pieces": False,
        "app": ("chat.rooms", "Lobby.handler"),
    }


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("max-mesage-size = 1", "there is no option 'max-mesage-size'; did you mean max-message-size?"),
        ("max_message_size = 1", "there is no option 'max_message_size'; did you mean max-message-size?"),
        ("zzz = 1", "there is no option 'zzz'; its keys are the options of wscore serve --help"),
        ("config = 'other.toml'", "there is no option 'config'"),
        ("[serve]\nport = 1", "there is no option 'serve'"),
        ("port = 65536", "port must be a number from 0 to 65535, not '65536'"),
        ("port = 80.0", "port must be a number from 0 to 65535, not '80.0'"),
        ("port = true", "port must be a string or a number, not True"),
        ("port = []", "port must be a string or a number, not []"),
        ("host = 127", "host must be a string, not 127"),
        ("host = ''", "host must not be empty"),
        ("compression = 'on'", "compression must be off, takeover, shared or dedicated, not 'on'"),
        ("slow-consumer = 'wat'", "slow-consumer must be wait, drop or close, not 'wat'"),
        ("gc-freeze = 'yes'", "gc-freeze must be true or false, not 'yes'"),
        ("subprotocol = 'chat'", """subprotocol must be an array such as ["one", "two"], not 'chat'"""),
        ("subprotocol = ['chat', 1]", "subprotocol must be a string, not 1"),
        ("close-timeout = inf", "close-timeout must be a number of seconds, not 'inf'"),
        ("metrics = '9100'", "metrics must be an address and a port such as 127.0.0.1:9100 or [::1]:9100, not '9100'"),
        ("app = 'chat'", "app must look like module:name, not 'chat'"),
    ],
)
def test_what_makes_no_sense_names_the_key_and_what_is_allowed(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/wscore.toml: {complaint}")


@pytest.mark.parametrize("text", ["port", "port = 1\nport = 2", b"host = '\xff'", f"port = {'[' * 9999}"])
def test_what_is_no_toml_is_one_sentence(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(ValueError, match=f"^{tmp_path}/wscore.toml is not TOML: ."):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^cannot read {tmp_path}: Is a directory$"):
        read_config(str(tmp_path), SERVE)


def test_a_flag_comes_before_the_environment_and_the_environment_before_the_file(tmp_path: Path) -> None:
    file = read(tmp_path, "port = 1\nhost = 'file.example'\nsubprotocol = ['file']\ngc-freeze = true")
    parser = Parser(prog="wscore")
    add_options(parser, SERVE, environment=True)
    for typed, environ, expected in (
        ([], {}, (1, "file.example", ("file",), True)),
        ([], {"WSCORE_PORT": "2", "WSCORE_SUBPROTOCOL": "a,b"}, (2, "file.example", ("a", "b"), True)),
        ([], {"WSCORE_GC_FREEZE": "off"}, (1, "file.example", ("file",), False)),
        (["--port", "3", "--no-gc-freeze"], {"WSCORE_PORT": "2"}, (3, "file.example", ("file",), False)),
        (["--subprotocol", "flag"], {"WSCORE_SUBPROTOCOL": "a"}, (1, "file.example", ("flag",), True)),
    ):
        settings = settings_of(parser.parse_args(typed), SERVE, environ, file)
        assert tuple(settings[name] for name in ("port", "host", "subprotocol", "gc_freeze")) == expected


@pytest.mark.parametrize("by_flag", [True, False])
async def test_the_program_reads_it(run: Callable[..., Any], tmp_path: Path, by_flag: bool) -> None:
    path = tmp_path / "wscore.toml"
    path.write_text("host = '256.256.256.256'\nport = 4\n")
    arguments, env = (["--config", path], {}) if by_flag else ([], {"WSCORE_CONFIG": str(path)})
    status, _, errors = await run("serve", *arguments, env=env)
    assert status == 1
    assert errors.startswith("wscore: cannot listen on 256.256.256.256 port 4: ")


async def test_the_program_complains_about_it(run: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "wscore.toml"
    path.write_text("prt = 4\n")
    result = await run("serve", "--config", path)
    assert result == (2, "", f"wscore: {path}: there is no option 'prt'; did you mean port?\n")
