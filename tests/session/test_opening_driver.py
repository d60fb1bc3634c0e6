"""What a loop that calls back tells an opening, and what its driver is told to do then."""

import pytest

from wscore.protocol.request import Accept
from wscore.session.opening import Driver, ServerOpening
from wscore.session.site.forwarded import TrustedProxies

from .newcomer import PAGE, Server, accept_later, outcome_of, request, status_of


class Recorder(Driver):
    """Writes down what it is to do."""

    def __init__(self):
        super().__init__()
        self.done = []
        self.question = None

    def open(self, opening):
        self.done.append(("open", status_of(opening.output())))

    def say_last(self, output):
        self.done.append(("say last", status_of(output)))

    def close(self, output):
        self.done.append(("close", output and status_of(output)))

    def reset(self):
        self.done.append("reset")

    def start_tls(self, rest):
        self.done.append(("TLS", rest))

    def think(self, thinking):
        self.question = thinking
        self.done.append("think")

    def stop_thinking(self):
        self.done.append("stop thinking")

    def pause(self):
        self.done.append("pause")


def started(server, *arguments, **keywords):
    driver = Recorder()
    driver.start(server.comes(*arguments, **keywords))
    return driver


def test_a_request_in_pieces_is_answered_once():
    driver = started(Server())
    driver.received(request()[:50])
    assert (driver.done, driver.opening is None) == ([], False)
    driver.received(request()[50:])
    assert (driver.done, driver.opening) == (["stop thinking", ("open", 101)], None)
    driver.received(b"frames")
    driver.turn_away()
    driver.give_way()
    driver.gone()
    assert driver.done == ["stop thinking", ("open", 101)]


def test_what_is_to_be_said_without_listening_is_said():
    server = Server()
    server.admission.close()
    assert started(server).done == ["stop thinking", ("say last", 503)]


@pytest.mark.parametrize(
    ("tell", "done"),
    [
        (lambda driver: driver.turn_away(), ("say last", 503)),
        (lambda driver: driver.give_way(), ("close", 503)),
        (lambda driver: driver.received(PAGE), ("say last", 426)),
        (lambda driver: driver.received(b""), ("close", b"")),
        (lambda driver: driver.tell(ServerOpening.time_is, 110), ("say last", 408)),
    ],
)
def test_how_it_ends(tell, done):
    driver = started(Server())
    tell(driver)
    assert driver.done == ["stop thinking", done]


def test_tls_begins_with_what_came_behind_the_header():
    proxies = TrustedProxies(["10.0.0.0/8"], proxy_protocol=True)
    server = Server(proxies=proxies, proxy_protocol=True)
    driver = started(server, ("10.0.0.1", 5000), speaks_tls=True)
    driver.received(b"PROXY UNKNOWN\r\nhello")
    assert driver.done == [("TLS", b"hello")]
    driver.tell(ServerOpening.tls_is_up)
    driver.received(request())
    assert driver.done[1:] == ["stop thinking", ("open", 101)]
    stranger = started(server, ("10.0.0.1", 5000))
    stranger.received(b"GET / HTTP/1.1\r\n")
    assert stranger.done == ["stop thinking", "reset"]


def test_a_hook_is_awaited_once_and_who_sends_much_meanwhile_is_read_no_more():
    driver = started(Server(on_request=accept_later))
    driver.received(request())
    driver.received(b"early")
    driver.turn_away()
    assert driver.done == ["think"]
    driver.received(bytes(20_000))
    assert driver.done == ["think", "pause"]
    driver.tell(ServerOpening.answered, outcome_of(driver.question))
    assert driver.done == ["think", "pause", "stop thinking", ("open", 101)]


def test_who_is_gone_is_asked_for_nothing_more():
    server = Server(on_request=accept_later)
    driver = started(server)
    driver.received(request())
    driver.gone("closing")
    driver.tell(ServerOpening.answered, outcome_of(driver.question) or Accept())
    assert (driver.done, server.counted) == (["think", "stop thinking"], {"dropped": {"closing": 1}})
