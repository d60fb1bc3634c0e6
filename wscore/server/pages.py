"""Answers plain HTTP requests on a WebSocket server's port: a demo page, a health check, and nothing larger.

Decides which response a request that asked for no WebSocket gets: GET and HEAD only, one response, then the end of the
connection. The opening handshake has found the end of the head before; here h11, which knows all of HTTP/1.1 framing,
parses the same bytes anew and writes the answer, so that no second opinion about a request can arise from our own short
parser. Nothing is awaited and no body is read: a request that brings one is refused, so there is nothing to bound.

Refuses to know sockets, deadlines and lingering (the caller sends, lingers and closes) and what the pages say.

RFC 9110 sections 9.3.1, 9.3.2 and 15.5.6; RFC 9112 section 9.6.
"""

from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

from wscore.transport.calling import interruptible


class Document(NamedTuple):
    """What stands under one path: a media type, the bytes, a status and more headers."""

    content_type: str
    body: bytes
    status: int = HTTPStatus.OK
    headers: Sequence[tuple[str, str]] = ()


# Exact paths, without a query, and what each says at the moment that it is asked.
Pages = Mapping[str, Callable[[], Document]]

# No page is ever cached (a health check must not be), guessed at, framed, or told where its reader came from.
_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Connection", "close"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)


def answer(received: bytes, pages: Pages) -> bytes:
    """Return the whole response to a request whose head is complete in `received`.

    An unknown path gets 404, a method other than GET and HEAD 405 with Allow, a request with a body 413, and what h11
    cannot read 400 (or the status that it suggests). Raises nothing of its own; what a page raises passes through.
    """
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(received) + 1)
    try:
        connection.receive_data(received)
        request = connection.next_event()
        bodiless = isinstance(connection.next_event(), h11.EndOfMessage)
    except h11.RemoteProtocolError as error:
        return _respond(connection, plain(error.error_status_hint, "This request cannot be understood."))
    if not isinstance(request, h11.Request):
        return _respond(connection, plain(HTTPStatus.BAD_REQUEST, "This request is not complete."))
    return _respond(connection, _choose(request, bodiless, pages), request.method == b"HEAD")


def plain(status: int, sentence: str, headers: Sequence[tuple[str, str]] = ()) -> Document:
    """Return a page of one sentence as plain text."""
    return Document("text/plain; charset=utf-8", f"{sentence}\n".encode(), status, headers)


def _choose(request: h11.Request, bodiless: bool, pages: Pages) -> Document:
    if request.method not in (b"GET", b"HEAD"):
        allow = [("Allow", "GET, HEAD")]
        return plain(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET and HEAD are answered here.", allow)
    if not bodiless:
        return plain(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "A request with a body is not answered here.")
    page = pages.get(_path(request.target))
    return interruptible(page)() if page else plain(HTTPStatus.NOT_FOUND, "There is no such page here.")


def _path(target: bytes) -> str:
    """Return the path of a request target in origin form or, as a proxy may send it, in absolute form."""
    text = target.decode("ascii")
    if text.startswith("/"):
        return text.partition("?")[0]
    try:
        return urlsplit(text).path or "/"
    except ValueError:
        return ""


def _respond(connection: h11.Connection, page: Document, without_body: bool = False) -> bytes:
    length = ("Content-Length", str(len(page.body)))
    headers = [("Date", formatdate(usegmt=True)), ("Content-Type", page.content_type), length, *_HEADERS, *page.headers]
    reason = HTTPStatus(page.status).phrase
    response = h11.Response(status_code=page.status, reason=reason, headers=headers)
    body = h11.Data(data=b"" if without_body else page.body)
    return b"".join(connection.send(event) or b"" for event in (response, body, h11.EndOfMessage()))
