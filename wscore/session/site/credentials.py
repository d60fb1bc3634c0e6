"""Where a request carries credentials, and how it is told that it needs other ones.

Decides what is a password or a token in a request: the header Authorization, and where the application has named them,
a parameter of the query, a cookie, or one of the offered subprotocols. Two tokens in one request are an error (RFC 6750
section 2): which of them counts would depend on who looks. Decides the refusals, too: none repeats what the peer sent.

Refuses to know whether credentials are good. RFC 7617 (Basic), RFC 6750 (Bearer), RFC 9110 section 11.
"""

from __future__ import annotations

import re
from base64 import b64decode
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl

from wscore.protocol.handshake import Refuse, Request
from wscore.protocol.headers import is_token, split_list

__all__ = ["Challenge", "TokenPlaces", "password_of"]

# RFC 6750 section 2.1.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SENDABLE = re.compile(r"[\x20-\x7e]*")


class Challenge:
    """What is said to whoever has not proved who it is, in the scheme "Basic" or "Bearer".

    `realm` is shown to users who are asked for a password. Raises `ValueError` unless it is printable ASCII.
    """

    def __init__(self, scheme: str, realm: str) -> None:
        if not _SENDABLE.fullmatch(realm):
            raise ValueError(f"a realm is printable ASCII, not {realm!r}")
        quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
        self._start = f'{scheme} realm="{quoted}"' + (', charset="UTF-8"' if scheme == "Basic" else "")
        self._names_errors = scheme == "Bearer"

    def missing(self, sentence: str) -> Refuse:
        """There were no credentials (401)."""
        return self._refuse(HTTPStatus.UNAUTHORIZED, sentence, None)

    def wrong(self, sentence: str) -> Refuse:
        """They were not good (401)."""
        return self._refuse(HTTPStatus.UNAUTHORIZED, sentence, "invalid_token")

    def ambiguous(self) -> Refuse:
        """There was more than one (400)."""
        return self._refuse(HTTPStatus.BAD_REQUEST, "Credentials are to be given once.", "invalid_request")

    def _refuse(self, status: HTTPStatus, sentence: str, error: str | None) -> Refuse:
        challenge = self._start
        if error is not None and self._names_errors:
            challenge += f', error="{error}", error_description="{sentence}"'
        return Refuse(status, sentence, {"WWW-Authenticate": challenge})


def password_of(request: Request, challenge: Challenge) -> tuple[str, str] | Refuse:
    """The name and the password of the header Authorization (RFC 7617 section 2), or what to say instead."""
    given = _authorization(request, "basic")
    if len(given) > 1:
        return challenge.ambiguous()
    if not given:
        return challenge.missing("A user name and a password are needed to connect.")
    try:
        text = b64decode(given[0], validate=True).decode("utf-8")
    except ValueError:
        text = ""
    name, colon, password = text.partition(":")
    if not colon or _CONTROL.search(text):
        return challenge.wrong("The credentials are malformed.")
    return name, password


def _authorization(request: Request, scheme: str) -> list[str]:
    """What follows the scheme. Several headers are several, of whichever scheme: there may be but one."""
    values = request.headers.get_all("authorization")
    parts = [value.partition(" ") for value in values]
    return [rest.strip(" ") for name, _, rest in parts if name.lower() == scheme or len(parts) > 1]


class TokenPlaces(NamedTuple):
    """Where a token may stand beside the header Authorization: the names of a query parameter, of a cookie, and of
    what an offered subprotocol begins with, before a dot; None where none is looked for.

    The header, the query and the subprotocols together may have one. A cookie, which browsers send unasked, counts
    where they have none.
    """

    query: str | None = None
    cookie: str | None = None
    subprotocol: str | None = None

    def check(self) -> TokenPlaces:
        """Return itself; raises `ValueError` for a name that no request can have."""
        for place, name in self._asdict().items():
            if name is not None and not is_token(name):
                raise ValueError(f"{place} is the name under which a token comes, not {name!r}")
        return self

    def token_of(self, request: Request, challenge: Challenge) -> str | Refuse:
        """The token of a request, or what to say instead."""
        tokens = [*_authorization(request, "bearer"), *self._of_query(request), *self._of_subprotocols(request)]
        tokens = tokens or self._of_cookies(request)
        if len(tokens) > 1:
            return challenge.ambiguous()
        if not tokens:
            return challenge.missing("A token is needed to connect.")
        return tokens[0] if _TOKEN.fullmatch(tokens[0]) else challenge.wrong("The token is malformed.")

    def _of_query(self, request: Request) -> list[str]:
        if self.query is None:
            return []
        return [value for name, value in parse_qsl(request.query, keep_blank_values=True) if name == self.query]

    def _of_cookies(self, request: Request) -> list[str]:
        pairs = [pair.partition("=") for line in request.headers.get_all("cookie") for pair in line.split(";")]
        return [value.strip(' \t"') for name, _, value in pairs if name.strip(" \t") == self.cookie]

    def _of_subprotocols(self, request: Request) -> list[str]:
        if self.subprotocol is None:
            return []
        offered = split_list(request.headers.get_all("sec-websocket-protocol"))
        start = f"{self.subprotocol}."
        return [entry.removeprefix(start) for entry in offered if entry.startswith(start)]
