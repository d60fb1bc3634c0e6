"""Every option of the program, in one table per command; argparse, the environment and the help come from it.

Decides the names, the defaults and which values make sense. A value is taken from the flag, else (for `serve`, which
operators start from unit files and containers) from the environment variable, else it is the default.

Refuses to know what the commands do with the values.
"""

import argparse
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One option: `max-size` is the flag `--max-size`, the variable `WSCORE_MAX_SIZE` and the setting `max_size`.

    `parse` turns what was typed into the value, and raises `ValueError` with a sentence; None makes a switch. `default`
    is written as it would be typed. A repeatable option gathers a tuple; in the environment, commas separate values.
    """

    name: str
    parse: Callable[[str], Any] | None
    default: str | None
    metavar: str
    help: str
    repeatable: bool = False

    @property
    def flag(self) -> str:
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        return "WSCORE_" + self.setting.upper()

    @property
    def setting(self) -> str:
        return self.name.replace("-", "_")

    @property
    def usual(self) -> Any:
        """The value where nothing was said."""
        if self.repeatable:
            return ()
        if self.parse is None:
            return False
        return None if self.default is None else self.parse(self.default)


class Parser(argparse.ArgumentParser):
    """An argument parser that complains in one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


# What the values may be.


def _text(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _port(value: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", value) or int(value) > 65535:
        raise ValueError(f"must be a number from 0 to 65535, not {value!r}")
    return int(value)


def _count(value: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", value) or not int(value):
        raise ValueError(f"must be a whole number from 1 upwards, not {value!r}")
    return int(value)


_UNITS = {"": 0, "k": 10, "m": 20, "g": 30}


def _size(value: str) -> int:
    match = re.fullmatch(r"([0-9]{1,15})\s?(?:([kmg])(?:i?b)?|b)?", value.lower())
    if match is None:
        raise ValueError(f"must be a number of bytes such as 65536, 64KiB or 1MiB, not {value!r}")
    return int(match[1]) << _UNITS[match[2] or ""]


def _duration(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"must be a number of seconds, not {value!r}")
    return seconds


def _limit(value: str) -> float:
    if not (seconds := _duration(value)):
        raise ValueError("must be more than 0 seconds")
    return seconds


def _limit_or_off(value: str) -> float | None:
    return None if value == "off" else _limit(value)


def _policy(value: str) -> str | None:
    if value not in ("off", "takeover", "shared", "dedicated"):
        raise ValueError(f"must be off, takeover, shared or dedicated, not {value!r}")
    return None if value == "off" else value


def _header(value: str) -> tuple[str, str]:
    name, colon, content = value.partition(":")
    if not colon or not name:
        raise ValueError(f"must look like 'Name: value', not {value!r}")
    return name, content.strip()


# The tables. Where a default is one of `wscore.serve` or `wscore.connect`, a test holds the two together.

SERVE = (
    Option("host", _text, "127.0.0.1", "ADDRESS", "where to listen: an address or a name"),
    Option("port", _port, "8000", "PORT", "where to listen; 0 lets the system choose"),
    Option("tls-cert", _text, None, "FILE", "certificate chain in PEM; makes the server speak TLS"),
    Option("tls-key", _text, None, "FILE", "the certificate's private key in PEM, if it is in a file of its own"),
    Option("allowed-origin", _text, None, "ORIGIN", "a web origin that may connect beside the server's own", True),
    Option("allowed-host", _text, None, "HOST", "a Host that is served beside the loopback names", True),
    Option("subprotocol", _text, None, "NAME", "a subprotocol to accept, the preferred one first", True),
    Option("compression", _policy, "off", "POLICY", "permessage-deflate: off, takeover, shared or dedicated"),
    Option("compression-threshold", _size, None, "SIZE", "leave messages below this size uncompressed"),
    Option("max-message-size", _size, "1MiB", "SIZE", "largest message, decompressed"),
    Option("max-fragments", _count, "4096", "COUNT", "most fragments in a message"),
    Option("max-connections", _count, None, "COUNT", "most connections; if not given, the limit of open files less 64"),
    Option("handshake-timeout", _limit, "10", "SECONDS", "time for the opening handshake"),
    Option("ping-interval", _limit_or_off, "20", "SECONDS", "time between pings, or off"),
    Option("ping-timeout", _limit_or_off, "20", "SECONDS", "time for the pong to a ping, or off"),
    Option("close-timeout", _limit, "10", "SECONDS", "time for the closing handshake"),
    Option("send-timeout", _limit, "30", "SECONDS", "time that unsent bytes may make no progress"),
    Option("drain-timeout", _duration, "10", "SECONDS", "time that connections get to close after SIGTERM or SIGINT"),
)

CONNECT = (
    Option("ping", None, None, "", "ping once a second and print each round-trip time, until Ctrl-C"),
    Option("header", _header, None, "'NAME: VALUE'", "a header to send with the opening handshake", True),
    Option("subprotocol", _text, None, "NAME", "a subprotocol to offer, the preferred one first", True),
    Option("compression", _policy, "off", "POLICY", "permessage-deflate: off, takeover, shared or dedicated"),
    Option("max-message-size", _size, "1MiB", "SIZE", "largest message to take, decompressed"),
    Option("ca-file", _text, None, "FILE", "certificates to trust, in PEM, instead of the system's"),
    Option("insecure", None, None, "", "trust any certificate"),
    Option("wait", _duration, "0.5", "SECONDS", "when the input has ended, close after so long without a message"),
)


# From the tables to argparse and back.


def add_options(parser: argparse.ArgumentParser, options: Iterable[Option], *, environment: bool) -> None:
    """Give `parser` a flag for each option; one that is not typed leaves no trace, for None may be a value."""
    for option in options:
        keywords: dict[str, Any] = {"dest": option.setting, "help": _help(option, environment)}
        if option.parse is None:
            keywords |= {"action": "store_true"}
        else:
            keywords |= {"type": _checked(option.parse), "metavar": option.metavar}
            keywords |= {"action": "append"} if option.repeatable else {}
        parser.add_argument(option.flag, default=argparse.SUPPRESS, **keywords)


def settings_of(
    arguments: argparse.Namespace, options: Iterable[Option], environ: Mapping[str, str] | None = None
) -> Settings:
    """Return the value of every option; with `environ`, what was not typed is looked for there.

    Raises `ValueError` with a sentence that names the variable whose value makes no sense.
    """
    return {option.setting: _value(option, vars(arguments), environ or {}) for option in options}


def _value(option: Option, typed: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    if option.setting in typed:
        value = typed[option.setting]
    elif text := environ.get(option.variable):
        value = _from_environment(option, text)
    else:
        value = option.usual
    return tuple(value) if option.repeatable else value


def _from_environment(option: Option, text: str) -> Any:
    assert option.parse is not None
    try:
        return [option.parse(part.strip()) for part in text.split(",")] if option.repeatable else option.parse(text)
    except ValueError as error:
        raise ValueError(f"{option.variable} {error}") from None


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Keep the sentence of a parser's `ValueError`, which argparse would replace by its own."""

    def checked(value: str) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return checked


def _help(option: Option, environment: bool) -> str:
    notes = [f"default {option.default}"] if option.default else []
    notes += ["may be repeated"] if option.repeatable else []
    notes += [option.variable] if environment else []
    return (option.help + (f" [{', '.join(notes)}]" if notes else "")).replace("%", "%%")
