"""The opening handshake by wsproto's rules and words, between our own ends and beside h11."""

import h11
import pytest

from wscore.adapters.wsproto import Limits, WSConnection
from wscore.adapters.wsproto.connection import CLIENT, SERVER, ConnectionState
from wscore.adapters.wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wscore.adapters.wsproto.extensions import PerMessageDeflate
from wscore.adapters.wsproto.handshake import (
    H11Handshake,
    client_extensions_handshake,
    server_extensions_handshake,
)
from wscore.adapters.wsproto.utilities import (
    LocalProtocolError,
    RemoteProtocolError,
    generate_accept_token,
    normed_header_dict,
    split_comma_header,
)

from .peers import Shout

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = {
    "Host": "example.org",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": KEY.decode(),
    "Sec-WebSocket-Version": "13",
}


def request(line: str = "GET /chat?x=1 HTTP/1.1", **changes: str | None) -> bytes:
    """A request; a change of None leaves the field out."""
    fields = FIELDS | {name.replace("_", "-"): value for name, value in changes.items()}
    head = [line, *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


def answer(status: int = 101, **changes: str | None) -> bytes:
    fields = {"Upgrade": "websocket", "Connection": "Upgrade"}
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    head = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields.items() if value is not None)]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


def asking(**options) -> tuple[WSConnection, str]:
    """A client that has sent its request, and the token that it expects."""
    client = WSConnection(CLIENT)
    sent = client.send(Request(host="example.org", target="/", **options))
    key = sent.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
    return client, generate_accept_token(key).decode()


def opened(*, compress: bool = False, **options) -> tuple[WSConnection, WSConnection]:
    """Both ends, after the handshake."""
    client, server = WSConnection(CLIENT), WSConnection(SERVER, **options)
    extensions = [PerMessageDeflate()] if compress else []
    server.receive_data(client.send(Request(host="example.org", target="/", extensions=extensions)))
    [_] = server.events()
    client.receive_data(server.send(AcceptConnection(extensions=[PerMessageDeflate()] if compress else [])))
    [_] = client.events()
    return client, server


@pytest.mark.parametrize("compress", [False, True])
def test_both_ends_understand_each_other(compress):
    client, server = opened(compress=compress)
    assert client.state is server.state is ConnectionState.OPEN
    for sender, receiver in ((client, server), (server, client)):
        receiver.receive_data(sender.send(TextMessage("hello " * 100)))
        assert list(receiver.events()) == [TextMessage("hello " * 100)]
    client.receive_data(server.send(CloseConnection(1001, "bye")))
    [close] = client.events()
    server.receive_data(client.send(close.response()))
    assert list(server.events()) == [CloseConnection(1001, "bye")]
    assert client.state is server.state is ConnectionState.CLOSED


def test_a_request_says_what_was_asked_for():
    server = WSConnection(SERVER)
    data = request(Sec_WebSocket_Protocol="a, b", Sec_WebSocket_Extensions="x; y=1, z", Origin="http://x")
    for i in range(len(data)):
        server.receive_data(data[i : i + 1])
    [event] = server.events()
    assert (event.host, event.target) == ("example.org", "/chat?x=1")
    assert event.subprotocols == ["a", "b"]
    assert event.extensions == ["x; y=1", "z"]
    assert (b"origin", b"http://x") in event.extra_headers
    assert dict(event.extra_headers).keys() == {
        *(b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version", b"origin")
    }
    head = server.send(AcceptConnection("b", extra_headers=[(b"X-Foo", b"bar")]))
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert b"\r\nSec-WebSocket-Protocol: b\r\n" in head
    assert b"\r\nX-Foo: bar\r\n" in head


def test_somebody_else_may_have_read_the_request():
    server = WSConnection(SERVER)
    headers = [(name.encode(), value.encode()) for name, value in FIELDS.items()]
    server.initiate_upgrade_connection(headers, b"/x")
    [event] = server.events()
    assert event.target == "/x"
    with pytest.raises(LocalProtocolError):
        WSConnection(CLIENT).initiate_upgrade_connection(headers, "/")
    with pytest.raises(LocalProtocolError):
        WSConnection(SERVER).initiate_upgrade_connection([(b"Host", b"x\r\nInjected: yes")], "/")


@pytest.mark.parametrize(
    ("data", "sentence", "status"),
    [
        (b"\x16\x03\x01 TLS\r\n\r\n", "Bad HTTP message", 400),
        (request("POST / HTTP/1.1"), "Request method must be GET", 400),
        (request("GET / HTTP/2.0"), "Bad HTTP message", 505),
        (request("GET / HTTP/1.0"), "HTTP/1.1", 505),
        (request(Host=None), "Bad HTTP message", 400),
        (request(Host="xn--a"), "Bad HTTP message", 400),
        (request(Connection="close"), "Missing header, 'Connection: Upgrade'", 400),
        (request(Upgrade="h2c"), "Missing header, 'Upgrade: websocket'", 400),
        (request(Sec_WebSocket_Version="8"), "Missing header, 'Sec-WebSocket-Version'", 426),
        (request(Sec_WebSocket_Version=None), "Missing header, 'Sec-WebSocket-Version'", 400),
        (request(Sec_WebSocket_Key=None), "Missing header, 'Sec-WebSocket-Key'", 400),
        (request(Sec_WebSocket_Key="short"), "16 bytes in base64", 400),
        (request(Content_Length="5"), "no body", 413),
        (request(Sec_WebSocket_Protocol="\xe9"), "Bad HTTP message", 400),
        (request(X="y" * 20_000), "Bad HTTP message", 431),
    ],
)
def test_a_bad_request_is_refused_with_a_hint(data, sentence, status):
    server = WSConnection(SERVER)
    with pytest.raises(RemoteProtocolError, match=sentence) as caught:
        server.receive_data(data)
    hint = caught.value.event_hint
    assert isinstance(hint, RejectConnection)
    assert hint.status_code == status
    assert server.send(hint).startswith(b"HTTP/1.1 %d " % status)
    assert server.state is ConnectionState.CLOSED


def test_the_end_within_a_head_is_a_bad_message():
    server = WSConnection(SERVER)
    server.receive_data(None)  # nobody has said anything yet
    server.receive_data(request()[:20])
    with pytest.raises(RemoteProtocolError):
        server.receive_data(None)
    with pytest.raises(RemoteProtocolError):
        asking()[0].receive_data(b"")


def test_frames_that_come_before_the_answer_are_kept():
    server = WSConnection(SERVER)
    server.receive_data(request() + b"\x81\x81\x00\x00\x00\x00a")
    server.receive_data(b"\x81\x81\x00\x00\x00\x00b")
    [_] = server.events()
    server.send(AcceptConnection())
    assert list(server.events()) == [TextMessage("a"), TextMessage("b")]


def test_frames_that_come_before_the_answer_are_bounded():
    server = WSConnection(SERVER)
    server.receive_data(request())
    server.receive_data(bytes(16 * 1024))
    with pytest.raises(RemoteProtocolError, match="Too much"):
        server.receive_data(b"x")


def test_frames_behind_the_answer_are_received():
    client, token = asking()
    client.receive_data(answer(Sec_WebSocket_Accept=token, X_Foo="bar") + b"\x82\x01x")
    assert list(client.events()) == [AcceptConnection(extra_headers=[(b"x-foo", b"bar")]), BytesMessage(b"x")]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"Sec_WebSocket_Accept": "wrong"}, "Bad accept token"),
        ({"Sec_WebSocket_Accept": None}, "Bad accept token"),
        ({"Connection": "close"}, "'Connection: Upgrade'"),
        ({"Upgrade": None}, "'Upgrade: websocket'"),
        ({"Sec_WebSocket_Protocol": "other"}, "unrecognized subprotocol other"),
        ({"Sec_WebSocket_Extensions": "other"}, "unrecognized extension other"),
        ({"Sec_WebSocket_Extensions": "permessage-deflate; server_max_window_bits=7"}, "bad parameters"),
        ({"Sec_WebSocket_Extensions": "\xe9"}, "ascii"),
    ],
)
def test_an_answer_that_does_not_fit_fails(changes, sentence):
    client, token = asking(extensions=[PerMessageDeflate()], subprotocols=["chat"])
    with pytest.raises(RemoteProtocolError, match=sentence):
        client.receive_data(answer(**{"Sec_WebSocket_Accept": token, **changes}))


def test_an_answer_in_http_1_0_fails():
    client, token = asking()
    with pytest.raises(RemoteProtocolError, match=r"HTTP/1\.1"):
        client.receive_data(answer(Sec_WebSocket_Accept=token).replace(b"HTTP/1.1", b"HTTP/1.0"))


def test_an_answer_before_the_request_is_a_bad_message():
    with pytest.raises(RemoteProtocolError, match="Bad HTTP message"):
        WSConnection(CLIENT).receive_data(answer())


# Refusals


@pytest.mark.parametrize(
    ("headers", "parts"),
    [([(b"Content-Length", b"6")], [b"abc", b"def"]), ([], [b"abc", b"def"]), ([(b"Content-Length", b"0")], [b""])],
)
def test_a_refusal_with_a_body_arrives(headers, parts):
    client, server = WSConnection(CLIENT), WSConnection(SERVER)
    server.receive_data(client.send(Request("example.org", "/")))
    client.receive_data(server.send(RejectConnection(403, headers, has_body=True)))
    assert server.state is ConnectionState.REJECTING
    for i, part in enumerate(parts):
        client.receive_data(server.send(RejectData(part, body_finished=i == len(parts) - 1)))
    head, *data = client.events()
    assert (head.status_code, head.has_body) == (403, True)
    assert b"".join(each.data for each in data) == b"".join(parts)
    assert [each.body_finished for each in data][-1:] == [True]
    assert server.state is client.state is ConnectionState.CLOSED


def test_a_body_may_end_with_the_connection():
    client, _ = asking()
    client.receive_data(b"HTTP/1.1 500 No\r\nX: y\r\n\r\nbo")
    client.receive_data(b"dy")
    client.receive_data(None)
    head, *data = client.events()
    assert head == RejectConnection(500, [(b"x", b"y")], has_body=True)
    assert data == [RejectData(b"bo", False), RejectData(b"dy", False), RejectData(b"", True)]


def test_what_follows_a_refusal_is_ignored():
    client, _ = asking()
    client.receive_data(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    assert [type(event) for event in client.events()] == [RejectConnection, RejectData]
    client.receive_data(bytes(1 << 20))
    client.receive_data(None)
    client.receive_data(b"once more")
    assert list(client.events()) == []


def test_a_body_that_is_cut_short_is_a_bad_message():
    client, _ = asking()
    client.receive_data(b"HTTP/1.1 500 No\r\nContent-Length: 9\r\n\r\nbody")
    with pytest.raises(RemoteProtocolError, match="Bad HTTP message"):
        client.receive_data(None)


def test_a_refusal_without_a_body_is_one_h11_reads():
    server = WSConnection(SERVER)
    server.receive_data(request())
    peer = h11.Connection(h11.CLIENT)
    peer.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    peer.receive_data(server.send(RejectConnection(401, [(b"WWW-Authenticate", b"Basic")])))
    response = peer.next_event()
    assert (response.status_code, dict(response.headers)[b"content-length"]) == (401, b"0")
    assert isinstance(peer.next_event(), h11.EndOfMessage)


def test_what_cannot_be_sent_is_an_error():
    server = H11Handshake(SERVER)
    for event in (Ping(), AcceptConnection(), RejectData(b""), Request("x", "/")):
        with pytest.raises(LocalProtocolError):
            server.send(event)
    server.receive_data(request(Sec_WebSocket_Protocol="chat"))
    bad = [AcceptConnection("other"), AcceptConnection(extra_headers=[(b"X", b"a\nb")])]
    bad += [RejectConnection(400, [(b"X", b"a\nb")]), RejectConnection(99)]
    for event in bad:
        with pytest.raises(LocalProtocolError):
            server.send(event)
    server.send(RejectConnection(403, [(b"Content-Length", b"1")], has_body=True))
    with pytest.raises(LocalProtocolError):
        server.send(RejectData(b"too long"))
    client = H11Handshake(CLIENT)
    for event in (
        Request("x" * 64, "/"),
        Request("x", "/a b"),
        Request("x", ""),
        Request("x", "/é"),
        AcceptConnection(),
        RejectConnection(),
    ):
        with pytest.raises(LocalProtocolError):
            client.send(event)
    client.send(Request("x", "/"))
    with pytest.raises(LocalProtocolError, match="once"):
        client.send(Request("x", "/"))


# Extensions


def test_the_first_offer_that_can_be_honoured_counts():
    offers = ["permessage-deflate; server_max_window_bits=8", "permessage-deflate; unknown", "shout"]
    offers += ["permessage-deflate; client_max_window_bits; server_max_window_bits=10", "permessage-deflate"]
    deflate, shout = PerMessageDeflate(client_max_window_bits=12), Shout()
    shout.accept = lambda offer: True
    agreed = server_extensions_handshake(offers, [deflate, shout])
    assert agreed == b"permessage-deflate; client_max_window_bits=12; server_max_window_bits=10, shout"
    assert (deflate.client_max_window_bits, deflate.server_max_window_bits) == (12, 10)


@pytest.mark.parametrize("offer", ["", "; client_max_window_bits=8"])
def test_a_client_that_promises_no_window_may_have_any(offer):
    deflate = PerMessageDeflate(client_max_window_bits=9)
    assert deflate.accept(f"permessage-deflate{offer}") == ""
    assert deflate.client_max_window_bits == 15


def test_nothing_in_common_is_nothing():
    assert server_extensions_handshake(["other"], [PerMessageDeflate()]) is None
    assert server_extensions_handshake(["permessage-deflate; unknown"], [PerMessageDeflate()]) is None
    assert client_extensions_handshake([], [PerMessageDeflate()]) == []


def test_what_a_server_answers_is_kept_to():
    deflate = PerMessageDeflate()
    client_extensions_handshake(
        ["permessage-deflate; server_max_window_bits=8; client_max_window_bits=9; client_no_context_takeover"],
        [deflate],
    )
    assert (deflate.server_max_window_bits, deflate.client_max_window_bits) == (9, 9)
    assert deflate.client_no_context_takeover
    assert not deflate.server_no_context_takeover


def test_windows_have_9_to_15_bits():
    for bits in (8, 16):
        with pytest.raises(ValueError, match="9 to 15"):
            PerMessageDeflate(client_max_window_bits=bits)
        with pytest.raises(ValueError, match="9 to 15"):
            PerMessageDeflate(server_max_window_bits=bits)


def test_limits_go_on_to_the_connection():
    client, server = opened(limits=Limits(max_message_size=10))
    server.receive_data(client.send(TextMessage("x" * 11)))
    [close] = server.events()
    assert close.code == 1009


def test_header_helpers_do_what_they_say():
    assert normed_header_dict([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]) == {b"a": b"1, 3", b"b": b"2"}
    assert split_comma_header(b"a , b,c") == ["a", "b", "c"]
    assert generate_accept_token(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
