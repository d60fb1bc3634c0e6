"""The table of options: each value from the flag, else the environment, else the default."""

import inspect

import pytest

import wscore
from wscore.cli.options import (
    BENCH,
    CONNECT,
    SERVE,
    SERVER,
    Option,
    Parser,
    Settings,
    add_options,
    keywords_of,
    settings_of,
)
from wscore.cli.values import Address, Reference
from wscore.session.rates import Rate


def read(options: tuple[Option, ...], typed: list[str], environ: dict[str, str] | None = None) -> Settings:
    parser = Parser(prog="wscore", allow_abbrev=False)
    add_options(parser, options, environment=environ is not None)
    return settings_of(parser.parse_args(typed), options, environ)


def serve(*typed: str, **environ: str) -> Settings:
    return read(SERVE, list(typed), environ)


@pytest.mark.parametrize("options", [SERVE, CONNECT, BENCH])
def test_every_option_has_a_help_and_a_default_that_could_be_typed(options: tuple[Option, ...]) -> None:
    assert len({option.name for option in options}) == len(options)
    for option in options:
        assert option.help
        if option.parse and option.default is not None:
            option.parse(option.default)


def test_defaults_are_those_of_connect() -> None:
    defaults = library_defaults(wscore.connect)
    for name, value in read(CONNECT, []).items():
        if name in defaults and name != "subprotocol":
            assert value == defaults[name], name


# What `wscore serve` gives `wscore.serve` by itself, or what no line of text can say.
NO_OPTIONS = {"host", "port", "listeners", "ssl_context", "pages", "task_status"}


def test_every_keyword_of_serve_is_an_option() -> None:
    keywords = set(library_defaults(wscore.serve)) - NO_OPTIONS
    assert {option.keyword or option.setting for option in SERVER} == keywords


def test_defaults_are_those_of_serve() -> None:
    defaults = library_defaults(wscore.serve)
    for name, value in keywords_of(serve()).items():
        assert value == (defaults[name] if value != () else ()), name


def test_what_counts_in_each_process_says_so() -> None:
    counted = {option.name for option in SERVER if option.per_process}
    assert counted >= {"max-connections", "max-handshakes"}
    parser = Parser(prog="wscore")
    add_options(parser, SERVE, environment=True)
    assert " ".join(parser.format_help().split()).count("counted in each worker") == len(counted)


def library_defaults(function: object) -> dict[str, object]:
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    return {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}


def test_the_flag_comes_before_the_environment_and_the_environment_before_the_default() -> None:
    assert serve()["port"] == 8000
    assert serve(WSCORE_PORT="1")["port"] == 1
    assert serve("--port", "2", WSCORE_PORT="1")["port"] == 2
    assert serve(WSCORE_PORT="")["port"] == 8000


def test_a_repeated_option_gathers_its_values_and_the_environment_separates_them_by_commas() -> None:
    assert serve()["subprotocol"] == ()
    assert serve("--subprotocol", "a", "--subprotocol", "b")["subprotocol"] == ("a", "b")
    assert serve(WSCORE_SUBPROTOCOL="a, b")["subprotocol"] == ("a", "b")


def test_connect_does_not_look_into_the_environment() -> None:
    parser = Parser(prog="wscore")
    add_options(parser, CONNECT, environment=False)
    assert "WSCORE_" not in parser.format_help()


def test_one_worker_a_processor_is_a_number_of_them() -> None:
    assert serve("--workers", "auto")["workers"] >= 1


def test_a_switch_may_be_turned_on_and_off() -> None:
    assert serve()["gc_freeze"] is False
    assert serve("--gc-freeze")["gc_freeze"] is True
    assert serve("--no-gc-freeze", WSCORE_GC_FREEZE="1")["gc_freeze"] is False
    for text, value in (("1", True), ("Yes", True), ("on", True), ("0", False), ("false", False), ("off", False)):
        assert serve(WSCORE_GC_FREEZE=text)["gc_freeze"] is value
    with pytest.raises(ValueError, match=r"^WSCORE_GC_FREEZE must be 1, true, yes or on"):
        serve(WSCORE_GC_FREEZE="maybe")


def test_a_switch_is_on_when_it_is_there() -> None:
    assert read(CONNECT, [])["ping"] is False
    assert read(CONNECT, ["--ping"])["ping"] is True


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        ("--port", "0", 0),
        ("--port", "65535", 65535),
        ("--max-message-size", "0", 0),
        ("--max-message-size", "1000", 1000),
        ("--max-message-size", "1000B", 1000),
        ("--max-message-size", "64k", 65536),
        ("--max-message-size", "64 KiB", 65536),
        ("--max-message-size", "16MiB", 16 << 20),
        ("--max-message-size", "1gb", 1 << 30),
        ("--max-fragments", "131072", 131072),
        ("--ping-interval", "0.5", 0.5),
        ("--ping-interval", "off", None),
        ("--drain-timeout", "0", 0.0),
        ("--compression", "off", None),
        ("--compression", "shared", "shared"),
        ("--connection-rate", "50", Rate(50, 50)),
        ("--connection-rate", "0.5", Rate(0.5, 1)),
        ("--connection-rate", "50:200", Rate(50, 200)),
        ("--workers", "off", None),
        ("--workers", "3", 3),
        ("--metrics", "127.0.0.1:9100", Address("127.0.0.1", 9100)),
        ("--metrics", "[::1]:0", Address("::1", 0)),
        ("--metrics", "localhost:65535", Address("localhost", 65535)),
        ("--app", "chat:handler", Reference("chat", "handler")),
        ("--app", "chat.rooms:Lobby.handler", Reference("chat.rooms", "Lobby.handler")),
    ],
)
def test_values_are_understood(flag: str, text: str, value: object) -> None:
    assert serve(flag, text)[flag[2:].replace("-", "_")] == value


BAD = [
    ("--connection-rate", "0"),
    ("--connection-rate", "-1"),
    ("--connection-rate", "50:0"),
    ("--connection-rate", "50:"),
    ("--connection-rate", "inf"),
    ("--connection-rate", "fast"),
    ("--proxy-headers", "both"),
    ("--port", "65536"),
    ("--port", "-1"),
    ("--port", "http"),
    ("--port", "٣"),
    ("--host", ""),
    ("--max-message-size", "1.5MiB"),
    ("--max-message-size", "many"),
    ("--max-fragments", "0"),
    ("--max-connections", "1e3"),
    ("--handshake-timeout", "off"),
    ("--handshake-timeout", "0"),
    ("--ping-interval", "0"),
    ("--ping-timeout", "inf"),
    ("--close-timeout", "nan"),
    ("--drain-timeout", "-1"),
    ("--compression", "on"),
    ("--slow-consumer", "fast"),
    ("--workers", "0"),
    ("--workers", "many"),
    ("--metrics", "9100"),
    ("--metrics", ":9100"),
    ("--metrics", "::1:9100"),
    ("--metrics", "127.0.0.1:65536"),
    ("--app", "chat"),
    ("--app", "chat:"),
    ("--app", "chat.py:handler:x"),
    ("--app", "../chat:handler"),
    ("--log-format", "xml"),
    ("--log-level", "loud"),
]


@pytest.mark.parametrize(("flag", "text"), BAD)
def test_a_value_that_makes_no_sense_ends_with_one_sentence_and_status_2(
    flag: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        serve(f"{flag}={text}")
    assert caught.value.code == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"wscore: argument {flag}: must ")
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(("flag", "text"), [case for case in BAD if case[1]])
def test_so_it_does_in_the_environment_and_the_variable_is_named(flag: str, text: str) -> None:
    variable = "WSCORE_" + flag[2:].upper().replace("-", "_")
    with pytest.raises(ValueError, match=f"^{variable} must "):
        serve(**{variable: text})


@pytest.mark.parametrize(
    ("flag", "text", "value"),
    [
        ("--in-flight", "1", 1),
        ("--in-flight", "65536", 65536),
        ("--size", "0", 0),
        ("--size", "64MiB", 64 << 20),
        ("--rate", "0.5", 0.5),
        ("--rate", "1e8", 1e8),
        ("--pattern", "window", "window"),
        ("--pattern", "burst", "burst"),
        ("--ramp-up", "0", 0.0),
    ],
)
def test_values_of_a_load_are_understood(flag: str, text: str, value: object) -> None:
    assert read(BENCH, [flag, text])[flag[2:].replace("-", "_")] == value


@pytest.mark.parametrize(
    ("flag", "text", "complaint"),
    [
        ("--in-flight", "0", "must be a whole number from 1 upwards, not '0'"),
        ("--in-flight", "65537", "must be at most 65536, not '65537'"),
        ("--size", "67108865", "must be at most 64MiB, not '67108865'"),
        ("--size", "large", "must be a number of bytes such as 65536, 64KiB or 1MiB, not 'large'"),
        ("--rate", "0", "must be a number of messages a second, above 0 and up to 100000000, not '0'"),
        ("--rate", "100000001", "must be a number of messages a second, above 0 and up to 100000000, not '100000001'"),
        ("--rate", "nan", "must be a number of messages a second, above 0 and up to 100000000, not 'nan'"),
        ("--rate", "fast", "must be a number of messages a second, above 0 and up to 100000000, not 'fast'"),
        ("--pattern", "bursts", "must be window or burst, not 'bursts'"),
        ("--duration", "0", "must be more than 0 seconds"),
    ],
)
def test_a_load_that_makes_no_sense_ends_with_one_sentence(
    flag: str, text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(BENCH, [flag, text])
    assert capsys.readouterr().err == f"wscore: argument {flag}: {complaint} (see wscore --help)\n"


@pytest.mark.parametrize("text", ["no colon", ":empty name", ""])
def test_a_header_has_a_name_and_a_colon(text: str) -> None:
    with pytest.raises(SystemExit):
        read(CONNECT, ["--header", text])


def test_a_header_is_split_at_its_first_colon() -> None:
    assert read(CONNECT, ["--header", "A: b:c", "--header", "D:"])["header"] == (("A", "b:c"), ("D", ""))


def test_the_help_names_defaults_and_variables() -> None:
    parser = Parser(prog="wscore")
    add_options(parser, SERVE, environment=True)
    text = " ".join(parser.format_help().split())
    assert "[default 1MiB, WSCORE_MAX_MESSAGE_SIZE]" in text
    assert "[may be repeated, WSCORE_SUBPROTOCOL]" in text


def test_an_unknown_flag_is_an_error_and_abbreviations_are_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        serve("--por", "1")
    assert "unrecognized arguments" in capsys.readouterr().err
