"""What the values of options may be: each function turns what was typed into a value.

Decides how ports, sizes, times and the like are written. Raises `ValueError` with the rest of a sentence, "must be …",
that says what is allowed. Refuses to know which options there are.
"""

import math
import os
import re
import sys
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from wscore.session.rates import Rate

Number = TypeVar("Number", int, float)


class Reference(NamedTuple):
    """Something of the user's, to be imported: `module:name`, or `package.module:object.attribute`."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


class Address(NamedTuple):
    """Where to listen, in one value: `127.0.0.1:9100` or `[::1]:9100`."""

    host: str
    port: int


def text(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def port(value: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", value) or int(value) > 65535:
        raise ValueError(f"must be a number from 0 to 65535, not {value!r}")
    return int(value)


def count(value: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", value) or not int(value):
        raise ValueError(f"must be a whole number from 1 upwards, not {value!r}")
    return int(value)


_SIZE = re.compile("([0-9]{1,15})(?: ?(?:([kmg])(?:i?b)?|b))?", re.ASCII | re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30}


def size(value: str) -> int:
    match = _SIZE.fullmatch(value)
    number = int(match[1]) << _UNITS[(match[2] or "").lower()] if match else sys.maxsize + 1
    if number > sys.maxsize:  # more than any memory, and than the compiled code can count
        raise ValueError(f"must be a number of bytes such as 65536, 64KiB or 1MiB, not {value!r}")
    return number


def least_rate(value: str) -> int:
    if not (number := size(value)):
        raise ValueError("must be more than 0 bytes")
    return number


def or_off(parse: Callable[[str], Number]) -> Callable[[str], Number | None]:
    """What `parse` takes, or None for "off", of which its sentences tell, too."""

    def parse_or_off(value: str) -> Number | None:
        if value == "off":
            return None
        try:
            return parse(value)
        except ValueError as error:
            raise ValueError(str(error).replace("must be", "must be off, or", 1)) from None

    return parse_or_off


def rate(value: str) -> Rate:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(?::([0-9]{1,9}))?", value)
    if match is None or not float(match[1]) or match[2] == "0":
        raise ValueError(f"must be a number a second, more than 0, as 50, or 50:200 for 200 at once, not {value!r}")
    return Rate(float(match[1]), float(match[2] or 0))


_DECIMAL = re.compile(r"(?:[0-9]+\.?|[0-9]*\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")


def _decimal(value: str) -> float:
    """The number; NaN if it is none, or one that only Python writes so."""
    return float(value) if len(value) < 100 and _DECIMAL.fullmatch(value) else math.nan


def duration(value: str) -> float:
    seconds = _decimal(value)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"must be a number of seconds, not {value!r}")
    return seconds


def limit(value: str) -> float:
    if not (seconds := duration(value)):
        raise ValueError("must be more than 0 seconds")
    return seconds


def one_of(*names: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in names:
            raise ValueError(f"must be {', '.join(names[:-1])} or {names[-1]}, not {value!r}")
        return value

    return parse


_any_policy = one_of("off", "takeover", "shared", "dedicated")


def policy(value: str) -> str | None:
    return None if _any_policy(value) == "off" else value


def address(value: str) -> Address:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\[\]]+)):([0-9]{1,5})", value)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"must be an address and a port such as 127.0.0.1:9100 or [::1]:9100, not {value!r}")
    return Address(match[1] or match[2], int(match[3]))


def workers(value: str) -> int | None:
    if value in ("off", "auto"):
        return None if value == "off" else _processors()
    if not re.fullmatch("[0-9]{1,4}", value) or not int(value):
        raise ValueError(f"must be a number of processes from 1 upwards, auto or off, not {value!r}")
    return int(value)


def _processors() -> int:
    """How many processors this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"


def reference(value: str) -> Reference:
    match = re.fullmatch(f"({_NAME}):({_NAME})", value)
    if match is None:
        raise ValueError(f"must look like module:name, not {value!r}")
    return Reference(match[1], match[2])


def header(value: str) -> tuple[str, str]:
    name, colon, content = value.partition(":")
    if not colon or not name:
        raise ValueError(f"must look like 'Name: value', not {value!r}")
    return name, content.strip()


# What a load may be: more would not fit into memory, or into a second.
_LARGEST_MESSAGE = 64 << 20
_MOST_IN_FLIGHT = 65536
_MOST_A_SECOND = 100_000_000


def message_size(value: str) -> int:
    if (number := size(value)) > _LARGEST_MESSAGE:
        raise ValueError(f"must be at most 64MiB, not {value!r}")
    return number


def in_flight(value: str) -> int:
    if (number := count(value)) > _MOST_IN_FLIGHT:
        raise ValueError(f"must be at most {_MOST_IN_FLIGHT}, not {value!r}")
    return number


def messages_a_second(value: str) -> float:
    number = _decimal(value)
    if not 0 < number <= _MOST_A_SECOND:
        raise ValueError(f"must be a number of messages a second, above 0 and up to {_MOST_A_SECOND}, not {value!r}")
    return number


_SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def switch(text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise ValueError(f"must be 1, true, yes or on; or 0, false, no or off; not {text!r}")
    return _SWITCHES[text.lower()]
