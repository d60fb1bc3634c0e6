"""Header fields: the collection, the grammar of names, values and token lists (RFC 9110 section 5).

Decides what a field name, a field value and a token list are, and refuses whatever could smuggle a further line into a
head that we send. Does not know what any field means.

Names are compared without regard to letter case; received ones are in lower case. Values are latin-1 text: what HTTP
permits, and enough to carry any byte.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from ..codec.errors import LocalProtocolError

HeadersLike: TypeAlias = "Headers | Mapping[str, str] | Iterable[tuple[str, str]]"

# RFC 9110 section 5.6.2, as the set of bytes to delete: what is left of a token is nothing.
TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Tab, visible ASCII, space and the upper half of latin-1; everything else could end the line or the field.
_SENDABLE_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Headers:
    """The fields of a head: an immutable collection of (name, value) pairs, in the order of the wire.

    `"Host" in headers`, `get` and `get_all` take names in any letter case. Made from a mapping or from pairs of `str`;
    nothing is checked here.
    """

    __slots__ = ("_first", "_pairs")

    # The first value of each name in lower case, and all pairs.
    _first: dict[str, str]
    _pairs: Collection[tuple[str, str]]

    def __init__(self, pairs: HeadersLike = ()) -> None:
        self._pairs = tuple(pairs.items() if isinstance(pairs, Mapping) else pairs)
        self._first = {name.lower(): value for name, value in reversed(self._pairs)}

    @classmethod
    def from_distinct(cls, fields: dict[str, str]) -> "Headers":
        """Take over a dictionary whose names are in lower case: the short way for the parser of heads."""
        headers = cls.__new__(cls)
        headers._first = fields
        headers._pairs = fields.items()
        return headers

    def get(self, name: str) -> str | None:
        """The value of the first field of that name, or `None`."""
        return self._first.get(name.lower())

    def get_all(self, name: str) -> list[str]:
        """The values of all fields of that name, in order; empty where there is none."""
        name = name.lower()
        first = self._first.get(name)
        if first is None or len(self._first) == len(self._pairs):
            return [] if first is None else [first]
        return [value for each, value in self._pairs if each.lower() == name]

    def has_token(self, name: str, token: str) -> bool:
        """Whether a list such as `keep-alive, Upgrade`, in one field of that name or several, has `token` (in lower
        case), in any letter case (RFC 9110 section 5.6.1).
        """
        first = self.get(name)
        if first is None:
            return False
        return first.lower() == token or token in split_list([value.lower() for value in self.get_all(name)])

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._first

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Headers) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._pairs))

    def __repr__(self) -> str:
        return f"Headers({list(self._pairs)!r})"


class Fields(dict[str, str]):
    """Fields whose names are distinct and in lower case, as the parser of heads finds them: what the handshake itself
    asks, so that `Headers` are made when somebody wants them. Names are asked for in lower case.
    """

    __slots__ = ()

    def get_all(self, name: str) -> list[str]:
        """As `Headers.get_all`."""
        value = self.get(name)
        return [] if value is None else [value]

    def has_token(self, name: str, token: str) -> bool:
        """As `Headers.has_token`."""
        value = self.get(name)
        if value is None:
            return False
        lower = value.lower()
        return lower == token or token in split_list([lower])


def is_token(text: str) -> bool:
    """Whether the text is a token (RFC 9110 section 5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def split_list(values: Iterable[str]) -> list[str]:
    """The elements of a comma-separated list that may be spread over several fields, empty ones left out.

    (RFC 9110 section 5.6.1.2: a recipient parses and ignores empty elements.) Linear in the length.
    """
    return [element for part in ",".join(values).split(",") if (element := part.strip(" \t"))]


def unique_tokens(values: Iterable[str]) -> list[str]:
    """The elements of a list of distinct tokens, such as subprotocols; raises ``ValueError`` where it is none.

    A list may be empty, as if the field were absent: there are clients that send it so.
    """
    return _distinct_tokens(split_list(values))


def own_subprotocols(names: Sequence[str]) -> list[str]:
    """Check the subprotocols that the application names; raises `ValueError` unless they are distinct tokens."""
    if isinstance(names, str):
        raise TypeError("Subprotocols are a sequence of names, not one str.")
    own = list(names)
    return _distinct_tokens(own) if own else own


def _distinct_tokens(elements: list[str]) -> list[str]:
    if not all(map(is_token, elements)):
        raise ValueError("The name of a subprotocol is no token.")
    if len(set(elements)) != len(elements):
        raise ValueError("The list of subprotocols names one of them twice.")
    return elements


def sendable_headers(headers: HeadersLike, reserved: frozenset[str] = frozenset()) -> Headers:
    """Check fields that are to be sent; ``reserved`` names (in lower case) belong to the handshake itself.

    Raises ``LocalProtocolError`` for a name that is no token, for a value with control characters (CR, LF and NUL among
    them) or outside latin-1, and for a reserved name; ``TypeError`` for what is no pair of ``str``.
    """
    checked = headers if isinstance(headers, Headers) else Headers(headers)
    for name, value in checked:
        if not (isinstance(name, str) and isinstance(value, str)):
            raise TypeError("Header names and values are str.")
        if not is_token(name):
            raise LocalProtocolError(f"{name!r} is no header name.")
        if not _SENDABLE_VALUE.fullmatch(value):
            raise LocalProtocolError(f"The value of the header {name} has characters that a header cannot carry.")
        if name.lower() in reserved:
            raise LocalProtocolError(f"The header {name} is set by the handshake itself.")
    return checked


def encode_headers(headers: Iterable[tuple[str, str]]) -> str:
    """The fields as lines of a head, each with its line end."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers])
