"""A client's way in, without I/O, against the server's handshake."""

import pytest

from wscore.codec import CLIENT, SERVER, DeflatePool
from wscore.protocol.handshake import Accept, ClientHandshake, Handshake, HandshakeError, Refuse
from wscore.session.opening import ClientOpening
from wscore.session.options import Options

URL = "ws://example.org/chat"
GONE = OSError("the network is gone")


def opening_of(**settings):
    return ClientOpening(ClientHandshake(CLIENT, URL, **settings))


def answer_to(opening, answer, **settings):
    server = Handshake(SERVER, **settings)
    assert server.receive_data(opening.request()) is not None
    server.answer(answer)
    return server.data_to_send()


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_the_answer_may_come_in_pieces(size):
    opening = opening_of(subprotocols=["chat"])
    data = answer_to(opening, Accept(), subprotocols=["chat"])
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert [opening.received(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    opened = opening.opened("here", "there")
    assert (opened.subprotocol, opened.response.status, opened.rest) == ("chat", 101, b"")
    assert (opened.local_address, opened.remote_address) == ("here", "there")


def test_what_came_behind_the_answer_is_handed_over():
    opening = opening_of()
    assert opening.received(answer_to(opening, Accept()) + b"\x89\x00")
    assert opening.opened().rest == b"\x89\x00"


def test_the_connection_is_the_one_that_was_agreed_on():
    opening = opening_of(compression="shared")
    assert opening.received(answer_to(opening, Accept(), compression="shared"))
    connection = opening.new_connection(Options(compression="shared", compression_threshold=0), DeflatePool())
    connection.send("a" * 500)
    assert len(connection.data_to_send()) < 100


def test_a_refusal_is_raised_when_it_is_complete():
    opening = opening_of()
    with pytest.raises(HandshakeError, match="403") as caught:
        opening.received(answer_to(opening, Refuse(403, "not you")))
    assert caught.value.response.body == b"not you"


def test_an_end_before_the_answer_is_told():
    with pytest.raises(HandshakeError, match="before the server had answered"):
        opening_of().received(b"")


@pytest.mark.parametrize("error", [GONE, TimeoutError(), None])
def test_a_refusal_that_breaks_off_is_one_all_the_same(error):
    opening = opening_of()
    assert not opening.received(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\ncome back")
    failure = opening.failure(error)
    assert isinstance(failure, HandshakeError)
    assert (failure.response.status, failure.response.body) == (503, b"come back")


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 101 Switching"])
def test_without_a_refusal_the_error_is_told(begun):
    opening = opening_of()
    if begun:
        assert not opening.received(begun)
    assert opening.failure(GONE) is GONE
    assert isinstance(opening.failure(), ConnectionResetError)


def test_what_comes_after_it_was_opened_is_told_as_it_is():
    opening = opening_of()
    assert opening.received(answer_to(opening, Accept()))
    assert opening.failure(GONE) is GONE
