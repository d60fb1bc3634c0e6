"""HTTP/1.x heads (RFC 9112 sections 2 to 5), with h11 as the judge of what was accepted."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wscore.protocol.head import (
    MAX_EMPTY_LINES,
    HeadError,
    HeadReader,
    RequestHead,
    ResponseHead,
    parse_request_head,
    parse_response_head,
)

GOOD = b"GET /chat?room=1 HTTP/1.1\r\nHost: example.org:8080\r\nAccept: a\r\nX-Empty:\r\naccept: \t b \t\r\n\r\n"


def read(data: bytes, **limits: int) -> RequestHead:
    head = HeadReader(limits.get("max_head_size", 16384)).feed(data)
    assert head is not None
    return parse_request_head(head, limits.get("max_headers", 128))


def feed(reader: HeadReader, data: bytes, size: int) -> list[bytearray | None]:
    """Let it come in pieces of `size`."""
    return [reader.feed(data[start : start + size]) for start in range(0, len(data), size)]


def refused(data: bytes, **limits: int) -> int:
    with pytest.raises(HeadError) as error:
        read(data, **limits)
    assert error.value.sentence.endswith(".")
    assert str(error.value) == error.value.sentence
    return error.value.status


def request(line: bytes = b"GET / HTTP/1.1", *fields: bytes) -> bytes:
    return b"\r\n".join((line, b"Host: x", *fields, b"", b""))


class CountingBuffer(bytearray):
    """Counts the bytes in which the end of the head is looked for."""

    looked_at = 0

    def find(self, sub: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        stop = len(self) if end is None else min(end, len(self))
        self.looked_at += max(0, stop - start)
        return super().find(sub, start, stop)


# Where a head ends.


def test_head_ends_with_an_empty_line_and_what_follows_is_the_rest() -> None:
    reader = HeadReader()
    assert reader.feed(GOOD + b"\x81\x80more") == GOOD[:-4]
    assert reader.rest == b"\x81\x80more"
    assert reader.received == GOOD + b"\x81\x80more"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 60])
def test_head_may_come_in_pieces_of_any_size(size: int) -> None:
    reader = HeadReader()
    pieces = [memoryview(GOOD)[start : start + size] for start in range(0, len(GOOD), size)]
    *early, last = [reader.feed(piece) for piece in pieces]
    assert not any(early)
    assert last == GOOD[:-4]
    assert reader.rest == b""


def test_there_is_no_rest_while_there_is_no_head() -> None:
    reader = HeadReader()
    assert reader.feed(b"GET / HTTP/1.1\r\n") is None
    assert reader.rest == b""
    assert reader.feed(b"") is None


def test_dribbled_head_is_looked_at_once() -> None:
    reader = HeadReader()
    reader.received = counting = CountingBuffer()
    data = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 16000 + b"\r\n\r\n"
    for count, byte in enumerate(data, 1):
        whole = reader.feed(bytes([byte]))
        assert reader.searched == (max(0, count - 3) if whole is None else count)
    assert whole == data[:-4]
    # The new byte and the three before it, which may begin the end.
    assert counting.looked_at <= 4 * len(data)


def test_head_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    assert read(GOOD, max_head_size=len(GOOD)).method == "GET"
    assert refused(GOOD, max_head_size=len(GOOD) - 1) == 431


def test_head_without_an_end_is_refused_above_the_limit() -> None:
    reader = HeadReader(64)
    assert reader.feed(b"GET / HTTP/1.1\r\n".ljust(64, b"x")) is None
    with pytest.raises(HeadError) as error:
        reader.feed(b"x")
    assert error.value.status == 431


def test_first_line_without_an_end_is_refused_with_414() -> None:
    reader = HeadReader(64)
    with pytest.raises(HeadError) as error:
        reader.feed(b"GET /" + b"x" * 64)
    assert error.value.status == 414
    assert refused(b"GET /" + b"x" * 64 + b" HTTP/1.1\r\nHost: x\r\n\r\n", max_head_size=64) == 414


@pytest.mark.parametrize("first", [b"\x16\x03\x01", b"\n", b"\r\r", b"\r\n\n", b" GET", b"\r\n GET", b"\x00"])
def test_bytes_that_begin_no_head_are_refused_at_once(first: bytes) -> None:
    with pytest.raises(HeadError) as error:
        HeadReader().feed(first)
    assert error.value.status == 400


@pytest.mark.parametrize("lines", [1, MAX_EMPTY_LINES])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_few_empty_lines_before_a_request_are_skipped(lines: int, size: int) -> None:
    """RFC 9112 section 2.2."""
    data = b"\r\n" * lines + GOOD
    reader = HeadReader(len(GOOD))
    *early, last = feed(reader, data, size)
    assert not any(early)
    assert last == GOOD[:-4]
    assert (reader.received, reader.rest) == (GOOD, b"")


@pytest.mark.parametrize("size", [1, 1000])
def test_empty_lines_without_end_are_refused(size: int) -> None:
    data = b"\r\n" * (MAX_EMPTY_LINES + 1) + GOOD
    reader = HeadReader()
    with pytest.raises(HeadError) as error:
        feed(reader, data, size)
    assert error.value.status == 400


def test_no_empty_line_stands_before_a_response() -> None:
    with pytest.raises(HeadError):
        HeadReader(of_response=True).feed(b"\r\nHTTP/1.1 101 x\r\n\r\n")


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTQ", b"\x15\x03\x01\x00\x02\x02\x46", b"HTTP 1.1"])
def test_what_begins_no_response_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(HeadError) as error:
        HeadReader(of_response=True).feed(data)
    assert error.value.status == 400


def test_a_response_may_begin_slowly() -> None:
    reader = HeadReader(of_response=True)
    assert [reader.feed(b"HTTP/1.1 101 x\r\n"[i : i + 1]) for i in range(16)] == [None] * 16


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\nHost: x\n\n", b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n", b"G\n"])
def test_a_line_that_ends_with_lf_alone_is_refused_at_once(data: bytes, size: int) -> None:
    """Nobody who sends that will send what ends a head: it would be waited for until the handshake's time is over."""
    reader = HeadReader()
    with pytest.raises(HeadError) as error:
        feed(reader, data, size)
    assert error.value.status == 400


# Requests.


def test_request_head_is_parsed() -> None:
    head = read(GOOD)
    assert head[:3] == ("GET", "/chat?room=1", "1.1")
    assert list(head.headers) == [("host", "example.org:8080"), ("accept", "a"), ("x-empty", ""), ("accept", "b")]
    assert head.headers.get("Accept") == "a"
    assert head.headers.get_all("ACCEPT") == ["a", "b"]


def test_values_are_latin_1() -> None:
    assert read(request(b"GET / HTTP/1.1", b"X: \xe4\xff\t:")).headers.get("x") == "äÿ\t:"


@pytest.mark.parametrize("method", ["GET", "POST", "M-SEARCH", "get", "!#$%&'*+-.^_`|~09"])
def test_any_token_is_a_method(method: str) -> None:
    assert read(request(f"{method} / HTTP/1.1".encode())).method == method


@pytest.mark.parametrize(
    "line",
    [
        b"GET",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET /a b HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET /\t HTTP/1.1",
        b"GET /\xe4 HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"G:T / HTTP/1.1",
        b"G\xe4T / HTTP/1.1",
        b"GET / http/1.1",
        b"GET / ",
    ],
)
def test_malformed_request_line_is_refused(line: bytes) -> None:
    assert refused(request(line)) == 400


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/1.10", b"HTTP/"])
def test_other_versions_of_http_are_refused_with_505(version: bytes) -> None:
    assert refused(request(b"GET / " + version)) == 505


@pytest.mark.parametrize(
    "field",
    [
        b"no colon",
        b": no name",
        b"Space : x",
        b" Folded: x",
        b"\tfolded",
        b"N\xe4me: x",
        b"Na me: x",
        b"Na/me: x",
        b"X: a\rb",
        b"X: a\nb",
        b"X: a\nHost: y",
        b"X: a\x00b",
        b"X: a\x0bb",
        b"X: a\x7fb",
        b"X: a\x1b[0m",
        b"X: a\r",
    ],
)
def test_malformed_field_is_refused(field: bytes) -> None:
    assert refused(request(b"GET / HTTP/1.1", field)) == 400
    assert refused(request(b"GET / HTTP/1.1", field, b"Y: z")) == 400


def test_lines_that_end_with_lf_alone_are_refused() -> None:
    assert refused(b"GET / HTTP/1.1\nHost: x\n\r\n\r\n") == 400


def test_number_of_fields_is_limited() -> None:
    fields = [b"X-%d: y" % number for number in range(127)]
    assert len(read(request(b"GET / HTTP/1.1", *fields)).headers) == 128
    assert refused(request(b"GET / HTTP/1.1", *fields, b"Z: y")) == 431
    assert refused(GOOD, max_headers=3) == 431


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:99999999999999999999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: /\r\n\r\n",
    ],
)
def test_host_is_there_once_and_well_formed(head: bytes) -> None:
    assert refused(head) == 400


def test_http_1_0_does_without_host() -> None:
    assert read(b"GET / HTTP/1.0\r\n\r\n")[:3] == ("GET", "/", "1.0")


@pytest.mark.parametrize(
    "target",
    ["http://X/path", "HTTPS://x?q", "wss://x/ws", "ws://y:80", "http://[::1]:8000/", "http://y?http://z/", "//x"],
)
def test_a_target_is_a_path_or_a_url_of_any_host(target: str) -> None:
    """RFC 9112 section 3.2.2: the Host header is ignored then, and so need not name the same."""
    assert read(request(f"GET {target} HTTP/1.1".encode())).target == target


@pytest.mark.parametrize(
    "target",
    [
        *("*", "x", "x:443", "?q", "path/to", "ws:/x", "ws:x", "://x/", "http:///path", "http://", "http://user@x/"),
        *("ftp://x/path", "http+unix://x/", "http://x:99999/", "http://a,b/", "http://[::1/", "http://x#y", "#"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "CONNECT"])
def test_any_other_target_is_refused(method: str, target: str) -> None:
    assert refused(request(f"{method} {target} HTTP/1.1".encode())) == 400


def test_an_absolute_target_does_without_no_host() -> None:
    """RFC 9112 section 3.2: the header must be there all the same, once and well-formed."""
    for fields in (b"", b"Host: y\r\nHost: y\r\n", b"Host: a b\r\n"):
        assert refused(b"GET http://x/ HTTP/1.1\r\n" + fields + b"\r\n") == 400


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: 1", b"Content-Length: 1"],
        [b"Content-Length: 1, 1"],
        [b"Content-Length: +1"],
        [b"Content-Length: \xb2"],
        [b"Content-Length:"],
        [b"Content-Length: 100000000000000000000"],
        [b"Content-Length: 1", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: identity"],
    ],
)
def test_body_that_two_readers_could_frame_differently_is_refused(fields: list[bytes]) -> None:
    assert refused(request(b"POST / HTTP/1.1", *fields)) == 400


def test_body_of_one_length_or_of_chunks_passes() -> None:
    assert "content-length" in read(request(b"POST / HTTP/1.1", b"Content-Length: 99999999999999999999")).headers
    assert "transfer-encoding" in read(request(b"POST / HTTP/1.1", b"Transfer-Encoding: Chunked")).headers
    assert refused(request(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked")) == 400


# Responses.


def respond(line: bytes, *fields: bytes) -> ResponseHead:
    head = HeadReader(of_response=True).feed(b"\r\n".join((line, *fields, b"", b"")))
    assert head is not None
    return parse_response_head(head)


@pytest.mark.parametrize(
    ("line", "parsed"),
    [
        (b"HTTP/1.1 101 Switching Protocols", (101, "Switching Protocols", "1.1")),
        (b"HTTP/1.0 404 Not  Found", (404, "Not  Found", "1.0")),
        (b"HTTP/1.1 200 ", (200, "", "1.1")),
        (b"HTTP/1.1 599", (599, "", "1.1")),
    ],
)
def test_response_head_is_parsed(line: bytes, parsed: tuple[int, str, str]) -> None:
    head = respond(line, b"X: y")
    assert head[:3] == parsed
    assert list(head.headers) == [("x", "y")]


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1",
        b"HTTP/1.1 ",
        b"HTTP/1.1 20",
        b"HTTP/1.1 2000",
        b"HTTP/1.1 099 x",
        b"HTTP/1.1 2\xb20 x",
        b"ICY 200 OK",
    ],
)
def test_malformed_status_line_is_refused(line: bytes) -> None:
    with pytest.raises(HeadError):
        respond(line)


def test_response_in_another_version_of_http_is_refused() -> None:
    with pytest.raises(HeadError) as error:
        respond(b"HTTP/2 200 OK")
    assert error.value.status == 505


# The judge.

LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"GET / HTTP/1.0", b"POST /a?b HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET http://x/ HTTP/1.1"]
)
FIELDS = st.sampled_from(
    [
        *[b"Host: x", b"Host: [::1]:80", b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        *[b"X: a  b", b"x:y", b"Connection: keep-alive, Upgrade", b"Upgrade: websocket", b"Cookie: \xe4=1", b"X:\t"],
    ]
)
NOISE = st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\n", b" ", b"\t", b":", b",", b"\x0b", b"HTTP/1.1"])


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """A plausible head, with a little noise put in at a few places."""
    lines = [draw(LINES), *draw(st.lists(FIELDS, max_size=5)), b"", b""]
    data = b"\r\n".join(lines)
    for noise in draw(st.lists(NOISE, max_size=2)):
        place = draw(st.integers(0, len(data)))
        data = data[:place] + noise + data[place + draw(st.integers(0, 2)) :]
    return data


@given(heads())
@example(GOOD)
@example(b"GET / HTTP/1.1\r\nhost: x\r\nX:\x85a\xa0\r\n\r\n")
def test_whatever_is_accepted_h11_reads_the_same_way(data: bytes) -> None:
    reader = HeadReader()
    try:
        head = reader.feed(data)
        if head is None:
            return
        parsed = parse_request_head(head)
    except HeadError:
        return
    judge = h11.Connection(h11.SERVER)
    judge.receive_data(bytes(reader.received[: len(reader.received) - len(reader.rest)]))
    event = judge.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method.decode(), event.target.decode()) == (parsed.method, parsed.target)
    assert event.http_version.decode() == parsed.http_version
    # h11 puts this one value into lower case.
    ours = [(name, value.lower() if name == "transfer-encoding" else value) for name, value in parsed.headers]
    assert [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers] == ours


@given(heads(), st.data())
def test_splitting_the_bytes_changes_nothing(data: bytes, draw: st.DataObject) -> None:
    def outcome(pieces: list[bytes]) -> object:
        reader = HeadReader()
        try:
            for piece in pieces:
                head = reader.feed(piece)
                if head is not None:
                    return parse_request_head(head)
        except HeadError as error:
            return error.status, error.sentence
        return None

    cut = draw.draw(st.integers(0, len(data)))
    assert outcome([data[:cut], data[cut:]]) == outcome([data])
