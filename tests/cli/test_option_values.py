"""Numbers, sizes, rates and durations that no option means, and those that it does: all options, all hostile values."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from wscore.cli import values
from wscore.cli.main import main
from wscore.cli.options import BENCH, CONNECT, SERVE, Option, settings_of

# All other parsers but these take numbers.
WORDS = {values.text, values.policy, values.reference, values.header}
OPTIONS = [
    pytest.param(command, option, id=f"{command}-{option.name}")
    for command, options in (("serve", SERVE), ("connect", CONNECT), ("bench", BENCH))
    for option in options
    if option.parse and option.parse not in WORDS and "one_of" not in option.parse.__qualname__
]

HOSTILE = [
    "", " ", "-1", "-0", "+1", "nan", "inf", "-inf", "infinity", "1e400", "9" * 400, "1_000", "0x10", "1 000", "1,5",
    " 1", "1 ", "1\n", "1\0", "٣", "１", "1s", "5 min", "1kk", "k", "KiB", "1.5k", "1\N{KELVIN SIGN}", "1 k b",
    "999999999999999g", "8589934592g", "99999999999999999999", "9223372036854775808", "1:0", "50:", ":50", "1e", "e5",
    ".", "1e1e1", "None", "true", "1e9999", "1" + "0" * 5000,
]  # fmt: skip


def understood(parse: Callable[[str], Any], text: str) -> Any:
    """The value, or ValueError if it is refused in the rest of a sentence."""
    try:
        return parse(text)
    except ValueError as error:
        sentence = str(error)
    assert sentence.startswith("must ")
    assert "\n" not in sentence
    return ValueError


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_no_option_takes_a_number_that_only_a_program_could_have_written(command: str, option: Option) -> None:
    assert option.parse is not None
    taken = {text: value for text in HOSTILE if (value := understood(option.parse, text)) is not ValueError}
    # Of all these, these make sense somewhere: many seconds, and an address that ends in a port.
    assert set(taken) <= {"99999999999999999999", "9223372036854775808", "1:0"}, taken
    assert all(isinstance(value, float | values.Address) for value in taken.values())


@pytest.mark.parametrize("text", ["999999999999999g", "-1", "nan", "1e400", "1_000", ""])
@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_it_is_refused_in_one_sentence_with_status_2(
    command: str, option: Option, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = [] if command == "serve" else ["ws://localhost:1"]
    with pytest.raises(SystemExit) as caught:
        main([command, *url, f"{option.flag}={text}"])
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert f"argument {option.flag}: must " in output.err


def test_in_the_environment_and_in_a_file_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "wscore.toml"
    file.write_text('max-message-size = "999999999999999g"\n')
    assert main(["serve", "--config", str(file)]) == 2
    monkeypatch.setenv("WSCORE_MAX_MESSAGE_SIZE", "999999999999999g")
    assert main(["serve"]) == 2
    from_file, from_environment = capsys.readouterr().err.splitlines()
    assert from_file.startswith(f"wscore: {file}: max-message-size must be a number of bytes")
    assert from_environment.startswith("wscore: WSCORE_MAX_MESSAGE_SIZE must be a number of bytes")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("1", 1), ("1b", 1), ("1 B", 1), ("1k", 1024), ("1K", 1024), ("1 kb", 1024), ("1KiB", 1024),
        ("2 MiB", 2 << 20), ("3G", 3 << 30), ("999999999999999", 999999999999999), ("8589934591g", 8589934591 << 30),
    ],
)  # fmt: skip
def test_sizes_are_understood(text: str, value: int) -> None:
    assert value <= sys.maxsize
    assert values.size(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("1.", 1), (".5", 0.5), ("0.5", 0.5), ("1e3", 1000), ("2.5E-1", 0.25), ("007", 7)]
)
def test_durations_are_understood(text: str, value: float) -> None:
    assert values.duration(text) == value


@pytest.mark.parametrize("option", ["min-message-rate", "ping-interval", "ping-timeout"])
@pytest.mark.parametrize("text", ["0", "x", "-1", "none"])
def test_what_may_be_switched_off_says_so_when_it_refuses(
    option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["serve", f"--{option}={text}"])
    assert f"argument --{option}: must be off, or " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["min-message-rate", "ping-interval", "ping-timeout"])
def test_off_is_none_and_the_least_number_is_taken(option: str) -> None:
    (parse,) = (each.parse for each in SERVE if each.name == option)
    assert parse is not None
    assert parse("off") is None
    assert parse("1") == 1


def test_every_usual_value_is_one_that_may_be_typed() -> None:
    for options in (SERVE, CONNECT, BENCH):
        assert settings_of(type("Nothing", (), {})(), options) == {each.setting: each.usual for each in options}
