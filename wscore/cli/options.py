"""Every option of the program, in one table per command; argparse, the environment, the file and the help come from it.

Decides the names, the defaults and which values make sense. A value is taken from the flag, else (for `serve`, which
operators start from unit files and containers) from the environment variable, else from the configuration file, else it
is the default.

Refuses to know what the commands do with the values, and how a file is read.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from wscore.cli import values

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One option: `max-size` is the flag `--max-size`, the variable `WSCORE_MAX_SIZE` and the setting `max_size`.

    `parse` turns what was typed into the value, and raises `ValueError` with a sentence; None makes a switch. `default`
    is written as it would be typed. A repeatable option gathers a tuple; in the environment, commas separate values.
    `keyword` is what the function behind the command calls it, if that is not the setting's name. What counts
    `per_process` counts anew in each worker, and its help says so.
    """

    name: str
    parse: Callable[[str], Any] | None
    default: str | None
    metavar: str
    help: str
    repeatable: bool = False
    keyword: str = ""
    per_process: bool = False

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


LOG_LEVELS = ("debug", "info", "warning", "error")

# The tables. Where a default is one of `wscore.serve` or `wscore.connect`, a test holds the two together.

# `wscore serve` itself.
PROGRAM = (
    Option("config", values.text, None, "FILE", "a TOML file whose keys are these options, less the dashes in front"),
    Option("host", values.text, "127.0.0.1", "ADDRESS", "where to listen: an address or a name"),
    Option("port", values.port, "8000", "PORT", "where to listen; 0 lets the system choose"),
    Option("workers", values.workers, "off", "COUNT", "processes that serve, beside one that watches; or auto"),
    Option("metrics", values.address, None, "HOST:PORT", "where to serve /metrics, for Prometheus, and /healthz"),
    Option("tls-cert", values.text, None, "FILE", "certificate chain in PEM; makes the server speak TLS"),
    Option("tls-key", values.text, None, "FILE", "the certificate's private key in PEM, if it is in a file of its own"),
    Option("log-format", values.one_of("text", "json"), "text", "FORMAT", "text, or json: an object a line"),
    Option("log-level", values.one_of(*LOG_LEVELS), "info", "LEVEL", f"what is worth a line: {', '.join(LOG_LEVELS)}"),
    Option("drain-timeout", values.duration, "10", "SECONDS", "time that connections get to close when it is to end"),
)

# The keywords of `wscore.serve`: a new one is a line here.
SERVER = (
    Option("app", values.reference, None, "MODULE:HANDLER", "an async function, for each WebSocket", keyword="handler"),
    Option("on-message", values.reference, None, "MODULE:FUNCTION", "or a function, for each WebSocket and message"),
    Option("authorize", values.reference, None, "MODULE:FUNCTION", "a function that says who may connect, and as whom"),
    Option("on-request", values.reference, None, "MODULE:FUNCTION", "a function that accepts or refuses a request"),
    Option("on-error", values.reference, None, "MODULE:FUNCTION", "a function, for WebSocket and exception"),
    Option("allowed-origin", values.text, None, "ORIGIN", "a web origin that may come, too", True, "allowed_origins"),
    Option("allowed-host", values.text, None, "HOST", "a Host that is served, too", True, "allowed_hosts"),
    Option("trusted-proxy", values.text, None, "NETWORK", "a proxy to believe, or unix", True, "trusted_proxies"),
    Option(
        "proxy-headers",
        values.one_of("x-forwarded", "forwarded"),
        None,
        "KIND",
        "what it writes: x-forwarded or forwarded",
    ),
    Option("proxy-protocol", None, None, "", "expect a PROXY protocol header from trusted proxies"),
    Option("subprotocol", values.text, None, "NAME", "a subprotocol, the preferred one first", True, "subprotocols"),
    Option("compression", values.policy, "off", "POLICY", "permessage-deflate: off, takeover, shared or dedicated"),
    Option("compression-threshold", values.size, None, "SIZE", "leave messages below this size uncompressed"),
    Option("pieces", None, None, "", "let the handler receive messages in pieces"),
    Option("max-message-size", values.size, "1MiB", "SIZE", "largest message, decompressed"),
    Option("max-fragments", values.count, "4096", "COUNT", "most fragments in a message"),
    Option("max-head-size", values.size, "16KiB", "SIZE", "largest head of a request"),
    Option("max-headers", values.count, "128", "COUNT", "most header fields in a request"),
    Option("handshake-timeout", values.limit, "10", "SECONDS", "time for the opening handshake"),
    Option("max-handshakes", values.count, "1024", "COUNT", "most opening handshakes under way", per_process=True),
    Option("max-connections", values.count, None, "COUNT", "most at once; else open files less 64", per_process=True),
    Option("max-connections-per-address", values.count, None, "COUNT", "most of one address", per_process=True),
    Option("connection-rate", values.rate, None, "RATE", "new ones a second, as 50 or 50:200", per_process=True),
    Option("connection-rate-per-address", values.rate, None, "RATE", "the same of one address", per_process=True),
    Option("message-rate", values.rate, None, "RATE", "messages a second of a peer, as 50 or 50:200"),
    Option("byte-rate", values.rate, None, "RATE", "the same in bytes, as on the wire"),
    Option("fast-producer", values.one_of("pause", "close"), "pause", "POLICY", "and above: pause reading, or close"),
    Option("max-receive-queue", values.size, "1MiB", "SIZE", "what may wait to be received before reading pauses"),
    Option("max-send-buffer", values.size, "1MiB", "SIZE", "what may wait to be sent to a peer"),
    Option("max-total-buffers", values.size, "256MiB", "SIZE", "what may wait on all of them", per_process=True),
    Option(
        "min-message-rate",
        values.or_off(values.least_rate),
        "8KiB",
        "SIZE",
        "a second, else closed while half of it waits; or off",
    ),
    Option("slow-consumer", values.one_of("wait", "drop", "close"), "wait", "POLICY", "and above: wait, drop or close"),
    Option("send-timeout", values.limit, "30", "SECONDS", "time that unsent bytes may make no progress"),
    Option("ping-interval", values.or_off(values.limit), "20", "SECONDS", "time between pings, or off"),
    Option("ping-timeout", values.or_off(values.limit), "20", "SECONDS", "time for the pong to a ping, or off"),
    Option("close-timeout", values.limit, "10", "SECONDS", "time for the closing handshake"),
    Option("transport", values.one_of("auto", "reactor", "stream"), "auto", "NAME", "auto, reactor or stream"),
    Option("strict-checkpoints", None, None, "", "let every call yield to other tasks"),
    Option("gc-freeze", None, None, "", "exempt what exists at the start from garbage collection"),
)

SERVE = PROGRAM + SERVER

CONNECT = (
    Option("ping", None, None, "", "ping once a second and print each round-trip time, until Ctrl-C"),
    Option("header", values.header, None, "'NAME: VALUE'", "a header to send with the opening handshake", True),
    Option("subprotocol", values.text, None, "NAME", "a subprotocol to offer, the preferred one first", True),
    Option("compression", values.policy, "off", "POLICY", "permessage-deflate: off, takeover, shared or dedicated"),
    Option("max-message-size", values.size, "1MiB", "SIZE", "largest message to take, decompressed"),
    Option("ca-file", values.text, None, "FILE", "certificates to trust, in PEM, instead of the system's"),
    Option("insecure", None, None, "", "trust any certificate"),
    Option("wait", values.duration, "0.5", "SECONDS", "after the input's end, close after so long without a message"),
)

BENCH = (
    Option("connections", values.count, "100", "COUNT", "how many connections to open"),
    Option("in-flight", values.in_flight, None, "COUNT", "messages in flight on each connection; if not given, 1"),
    Option(
        "pattern",
        values.one_of("window", "burst"),
        None,
        "PATTERN",
        "window: so many in flight at any time, each reply is followed by a message; burst: so many at once, and the "
        "next when all are answered; if not given, window",
    ),
    Option(
        "rate",
        values.messages_a_second,
        None,
        "RATE",
        "messages a second over all connections, on a schedule that waits for no reply; latencies count from the "
        "moment in the schedule",
    ),
    Option("size", values.message_size, "20", "SIZE", "size of a message"),
    Option("binary", None, None, "", "send binary messages (noise) instead of text (words)"),
    Option("duration", values.limit, "10", "SECONDS", "how long to measure"),
    Option("ramp-up", values.duration, "0", "SECONDS", "open the connections over so long a time; each sends at once"),
    Option("warm-up", values.duration, "1", "SECONDS", "time between the last connection and the measurement"),
    Option("timeout", values.limit, "10", "SECONDS", "time to open a connection, and for the last replies"),
    Option("no-check", None, None, "", "count replies without comparing them with what was sent"),
    Option("json", None, None, "", "print the results as JSON"),
    Option("header", values.header, None, "'NAME: VALUE'", "a header to send with the opening handshake", True),
    Option("subprotocol", values.text, None, "NAME", "a subprotocol to offer, the preferred one first", True),
    Option("compression", values.policy, "off", "POLICY", "permessage-deflate: off, takeover, shared or dedicated"),
    Option("ca-file", values.text, None, "FILE", "certificates to trust, in PEM, instead of the system's"),
    Option("insecure", None, None, "", "trust any certificate"),
)


# From the tables to argparse and back.


def add_options(parser: argparse.ArgumentParser, options: Iterable[Option], *, environment: bool) -> None:
    """Give `parser` a flag for each option; one that is not typed leaves no trace, for None may be a value.

    With `environment`, a switch can be turned off, too: something else may have turned it on.
    """
    switch = argparse.BooleanOptionalAction if environment else "store_true"
    for option in options:
        keywords: dict[str, Any] = {"dest": option.setting, "help": _help(option, environment)}
        if option.parse is None:
            keywords |= {"action": switch}
        else:
            keywords |= {"type": _checked(option.parse), "metavar": option.metavar}
            keywords |= {"action": "append"} if option.repeatable else {}
        parser.add_argument(option.flag, default=argparse.SUPPRESS, **keywords)


def settings_of(
    arguments: argparse.Namespace,
    options: Iterable[Option],
    environ: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the value of every option; what was not typed is looked for in `environ`, then in `file` by its setting.

    Raises `ValueError` with a sentence that names the variable whose value makes no sense.
    """
    return {option.setting: _value(option, vars(arguments), environ or {}, file or {}) for option in options}


def _value(option: Option, typed: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any]) -> Any:
    if option.setting in typed:
        value = typed[option.setting]
    elif text := environ.get(option.variable):
        value = _from_environment(option, text)
    elif option.setting in file:
        value = file[option.setting]
    else:
        value = option.usual
    return tuple(value) if option.repeatable else value


def _from_environment(option: Option, text: str) -> Any:
    parse = option.parse or values.switch
    try:
        return [parse(part.strip()) for part in text.split(",")] if option.repeatable else parse(text)
    except ValueError as error:
        raise ValueError(f"{option.variable} {error}") from None


def keywords_of(settings: Settings, options: Iterable[Option] = SERVER) -> dict[str, Any]:
    """Return the settings of `options` under the names of the keywords that they are for."""
    return {option.keyword or option.setting: settings[option.setting] for option in options}


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
    notes += ["counted in each worker"] if option.per_process else []
    notes += [option.variable] if environment else []
    return (option.help + (f" [{', '.join(notes)}]" if notes else "")).replace("%", "%%")
