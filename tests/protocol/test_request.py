"""The server's half of the opening handshake (RFC 6455 section 4.2): checks and answers, without the machine."""

import marshal

import pytest

from wscore.codec.errors import LocalProtocolError
from wscore.protocol.head import HeadError
from wscore.protocol.headers import Headers
from wscore.protocol.request import (
    Accept,
    Client,
    Page,
    Refuse,
    Request,
    accept_key,
    check_offers,
    check_upgrade,
    encode_accept,
    encode_refuse,
    select_subprotocol,
    tell_client,
    tell_user,
)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = {
    "Host": "example.org",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def upgrade(method: str = "GET", version: str = "1.1", **fields: str | None) -> Request:
    """A good request, with fields changed, added, or (None) left out; an underscore is a hyphen."""
    changed = {**FIELDS, **{name.replace("_", "-"): value for name, value in fields.items()}}
    pairs = [(name, value) for name, value in changed.items() if value is not None]
    return Request(method, "/chat?room=1", Headers(pairs), version)


def key_of(request: Request) -> str:
    return check_upgrade(request.method, request.http_version, request.headers)


def status_of(request: Request) -> int:
    with pytest.raises(HeadError) as error:
        key_of(request)
    return error.value.status


# Requests.


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a%2Fb?c=d?e", "/a%2Fb", "c=d?e"),
        ("/?", "/", ""),
        ("/x?u=http://y/z", "/x", "u=http://y/z"),
        ("//a/b", "//a/b", ""),
        ("http://example.org", "/", ""),
        ("http://example.org/a/b?c", "/a/b", "c"),
        ("http://example.org?c", "/", "c"),
        ("*", "*", ""),
    ],
)
def test_path_and_query_of_a_target(target: str, path: str, query: str) -> None:
    request = Request("GET", target)
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("/", "Example.org:8080"),
        ("//a/b", "Example.org:8080"),
        ("http://Other.example/x", "other.example"),
        ("http://other.example:80", "other.example"),
        ("ws://other.example:80?x", "other.example"),
        ("https://other.example:443/", "other.example"),
        ("wss://other.example:443/", "other.example"),
        ("wss://other.example:80/", "other.example:80"),
        ("http://other.example:443/", "other.example:443"),
        ("ws://[::1]:8000/", "[::1]:8000"),
        ("ws://[::1]:80/", "[::1]"),
        ("*", "Example.org:8080"),
    ],
)
def test_the_host_of_an_absolute_target_counts_in_place_of_the_header(target: str, host: str) -> None:
    assert Request("GET", target, Headers({"Host": "Example.org:8080"})).host == host
    assert Request("GET", target).host == (None if host == "Example.org:8080" else host)


@pytest.mark.parametrize("value", ["websocket", "WebSocket", "h2c, websocket", "foo/1,WEBSOCKET"])
def test_upgrade_header_that_names_websocket_makes_an_upgrade(value: str) -> None:
    assert upgrade(Upgrade=value).is_upgrade


@pytest.mark.parametrize("value", [None, "", "h2c", "websocket/13", "websockets", "web socket"])
def test_other_upgrade_headers_make_none(value: str | None) -> None:
    assert not upgrade(Upgrade=value).is_upgrade


def test_subprotocols_stand_in_the_order_of_the_client() -> None:
    assert upgrade().subprotocols == []
    assert upgrade(Sec_WebSocket_Protocol="b, a").subprotocols == ["b", "a"]
    assert upgrade(Sec_WebSocket_Protocol="b, b").subprotocols == []


# Checks.


def test_key_of_a_good_request_is_returned() -> None:
    assert key_of(upgrade()) == KEY


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "get"])
def test_other_methods_are_refused(method: str) -> None:
    assert status_of(upgrade(method)) == 405


def test_other_versions_of_http_are_refused() -> None:
    assert status_of(upgrade(version="1.0")) == 505


def test_body_is_refused() -> None:
    assert status_of(upgrade(Content_Length="1")) == 413
    assert status_of(upgrade(Transfer_Encoding="chunked")) == 413
    assert key_of(upgrade(Content_Length="000")) == KEY


@pytest.mark.parametrize("value", [None, "", "close", "notupgrade", "up grade", "keep-alive"])
def test_connection_that_does_not_name_upgrade_is_refused(value: str | None) -> None:
    """Security case 48: a substring is no token."""
    assert status_of(upgrade(Connection=value)) == 400


@pytest.mark.parametrize("value", ["keep-alive, Upgrade", "upgrade,keep-alive", "UPGRADE"])
def test_connection_is_a_list(value: str) -> None:
    """Security case 49: Firefox sends `keep-alive, Upgrade`."""
    assert key_of(upgrade(Connection=value)) == KEY


@pytest.mark.parametrize(
    "value", [None, "", "12", "013", "13, 8", "13 ", "4294967309", "1" + "0" * 4000 + "13", "-1", "x"]
)
def test_other_versions_of_websocket_are_refused(value: str | None) -> None:
    """Security case 59: a version is compared as text, and never converted."""
    assert status_of(upgrade(Sec_WebSocket_Version=value)) == 426


def test_version_given_twice_is_refused() -> None:
    request = upgrade()
    twice = Headers([*request.headers, ("Sec-WebSocket-Version", "13")])
    assert status_of(Request("GET", "/", twice)) == 426


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ==\n",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25j-Q==",
        "dGhl IHNhbXBsZSBub25jZQ==",
    ],
)
def test_key_that_is_not_16_bytes_in_base64_is_refused(value: str | None) -> None:
    assert status_of(upgrade(Sec_WebSocket_Key=value)) == 400


@pytest.mark.parametrize("key", ["AQIDBAUGBwgJCgsMDQ4PEC==", "dGhlIHNhbXBsZSBub25jZf=="])
def test_key_whose_padding_is_not_zero_passes(key: str) -> None:
    """The first is the RFC's own example in section 4.1."""
    assert key_of(upgrade(Sec_WebSocket_Key=key)) == key


def test_key_given_twice_is_refused() -> None:
    twice = Headers([*upgrade().headers, ("sec-websocket-key", KEY)])
    assert status_of(Request("GET", "/", twice)) == 400


def test_offers_are_negotiated() -> None:
    assert check_offers(upgrade().headers, "takeover") is None
    assert check_offers(upgrade(Sec_WebSocket_Extensions="permessage-deflate").headers, None) is None
    accepted = check_offers(upgrade(Sec_WebSocket_Extensions="permessage-deflate").headers, "dedicated")
    assert accepted is not None
    assert accepted[0] == "permessage-deflate"
    assert check_offers(upgrade(Sec_WebSocket_Protocol="a, b").headers, None) is None


@pytest.mark.parametrize("value", ["", " ", ",", " , ,"])
def test_empty_lists_are_as_none(value: str) -> None:
    request = upgrade(Sec_WebSocket_Protocol=value, Sec_WebSocket_Extensions=value)
    assert check_offers(request.headers, "takeover") is None
    assert request.subprotocols == []


@pytest.mark.parametrize("policy", [None, "takeover"])
def test_malformed_lists_are_refused(policy: str | None) -> None:
    for request in (upgrade(Sec_WebSocket_Extensions="a, b c"), upgrade(Sec_WebSocket_Protocol="a, a")):
        with pytest.raises(HeadError) as error:
            check_offers(request.headers, policy)
        assert error.value.status == 400


def test_long_list_of_subprotocols_is_parsed_in_linear_time() -> None:
    """Security case 25: spaces without end made a regular expression explode."""
    assert upgrade(Sec_WebSocket_Protocol="a" + " " * 200_000 + "b").subprotocols == []
    assert len(upgrade(Sec_WebSocket_Protocol=",".join(map(str, range(50_000)))).subprotocols) == 50_000


def test_server_prefers_its_own_order() -> None:
    assert select_subprotocol(["a", "b"], ["c", "b", "a"]) == "b"
    assert select_subprotocol(["a"], ["b"]) is None
    assert select_subprotocol([], []) is None


# Answers.


def test_accept_key_of_the_rfc() -> None:
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_acceptance_on_the_wire() -> None:
    plain = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    )
    assert encode_accept(KEY, None, None, Headers()) == plain + b"\r\n"
    assert encode_accept(KEY, "chat", "permessage-deflate", Headers({"X": "ä"})) == (
        plain + b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX: \xe4\r\n\r\n"
    )


def test_answers_keep_what_they_are_given() -> None:
    accept = Accept("chat", {"X": "y"}, user=7)
    assert (accept.subprotocol, list(accept.headers), accept.user) == ("chat", [("X", "y")], 7)
    assert Accept() == Accept(None, (), None)
    refuse = Refuse(403, "No.", [("X", "y")])
    assert (refuse.status, refuse.sentence, list(refuse.headers)) == (403, "No.", [("X", "y")])
    assert Page() == Page()


@pytest.mark.parametrize(
    "name",
    [
        "Upgrade",
        "connection",
        "Content-Length",
        "Transfer-Encoding",
        "Sec-WebSocket-Accept",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol",
        "sec-websocket-version",
    ],
)
def test_accept_cannot_override_the_headers_of_the_handshake(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="handshake itself"):
        Accept(headers={name: "x"})


@pytest.mark.parametrize("name", ["Content-Length", "Connection", "Transfer-Encoding", "Upgrade"])
def test_refuse_cannot_override_the_framing(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="handshake itself"):
        Refuse(403, "No.", {name: "x"})


@pytest.mark.parametrize("answer", [Accept, lambda headers: Refuse(302, "There.", headers)])
def test_answers_refuse_header_injection_at_once(answer: object) -> None:
    """Security cases 54 and 55."""
    assert callable(answer)
    with pytest.raises(LocalProtocolError):
        answer(headers={"Location": "/\r\nSet-Cookie: a=b"})


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, -1])
def test_refuse_needs_a_final_status(status: int) -> None:
    with pytest.raises(LocalProtocolError, match="200 to 599"):
        Refuse(status, "No.")


def test_refusal_on_the_wire() -> None:
    assert encode_refuse(Refuse(403, "Not for you, Jürgen.", {"X": "y"})) == (
        b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nX: y\r\n"
        b"Content-Length: 21\r\n\r\nNot for you, J\xc3\xbcrgen."
    )


def test_refusal_may_carry_any_body() -> None:
    refuse = Refuse(404, b"<p>\xff", {"content-type": "text/html"})
    assert encode_refuse(refuse) == (
        b"HTTP/1.1 404 Not Found\r\nConnection: close\r\ncontent-type: text/html\r\nContent-Length: 4\r\n\r\n<p>\xff"
    )


def test_refusal_of_head_has_no_body() -> None:
    assert encode_refuse(Refuse(404, "No."), "HEAD").endswith(b"Content-Length: 3\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_a_body_have_none(status: int) -> None:
    response = encode_refuse(Refuse(status, "ignored"))
    assert response.endswith(b"Connection: close\r\n\r\n")
    assert b"Content-" not in response


def test_statuses_get_the_headers_that_they_must_have() -> None:
    assert b"\r\nAllow: GET\r\n" in encode_refuse(Refuse(405, "No."))
    own = encode_refuse(Refuse(405, "No.", {"allow": "GET, HEAD"}))
    assert b"\r\nallow: GET, HEAD\r\n" in own
    assert b"Allow:" not in own
    upgrade_required = encode_refuse(Refuse(426, "No."))
    assert b"\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n" in upgrade_required
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in upgrade_required


def test_status_without_a_name_is_sent_all_the_same() -> None:
    assert encode_refuse(Refuse(599, "No.")).startswith(b"HTTP/1.1 599 \r\n")


def test_what_is_shown_of_a_request_holds_no_secret() -> None:
    headers = Headers([("Authorization", "Bearer s3cret"), ("Host", "example.org")])
    secret = Request("GET", "/feed?token=s3cret", headers)
    tell_client(secret, Client(("192.0.2.1", 5), "https"))
    tell_user(secret, "s3cret")
    assert repr(secret) == "<Request GET '/feed' with 2 headers>"


def test_a_request_is_what_was_sent_whoever_sent_it() -> None:
    one, other = Request("GET", "/"), Request("GET", "/")
    tell_client(one, Client(("192.0.2.1", 5), "https", "example.org"))
    tell_user(one, {"sub": "ada"})
    assert (one.client.address, one.client.scheme, one.client.host) == (("192.0.2.1", 5), "https", "example.org")
    assert one.user == {"sub": "ada"}
    assert (other.client, other.user) == (None, None)
    assert one == other


@pytest.mark.parametrize("client", [None, Client(("192.0.2.1", 5), "https", "example.org"), Client()])
def test_a_request_is_the_same_after_it_was_plain(client: Client | None) -> None:
    headers = Headers([("Host", "example.org"), ("Cookie", "a=1"), ("Cookie", "b=2")])
    request = Request("GET", "/feed?since=5", headers, "1.0", client)
    folded = marshal.dumps(request.to_plain())
    again = Request.from_plain(marshal.loads(folded), user="ada")
    assert again == request
    assert (again.client, again.user, list(again.headers)) == (client, "ada", list(headers))
    if client is not None:
        assert again.client.scheme == client.scheme
