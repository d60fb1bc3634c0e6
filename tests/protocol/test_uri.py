"""ws:// and wss:// URLs, and Host headers (RFC 6455 section 3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.protocol.uri import Uri, parse_uri, split_host_port


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        ("ws://example.org", Uri(False, "example.org", 80, "/")),
        ("wss://example.org", Uri(True, "example.org", 443, "/")),
        ("WSS://Example.ORG:8443/Feed?Room=1", Uri(True, "example.org", 8443, "/Feed?Room=1")),
        ("ws://example.org?room=1", Uri(False, "example.org", 80, "/?room=1")),
        ("ws://example.org:/", Uri(False, "example.org", 80, "/")),
        ("ws://[::1]:8000/x", Uri(False, "::1", 8000, "/x")),
        ("ws://[2001:DB8::1]", Uri(False, "2001:db8::1", 80, "/")),
        ("ws://127.0.0.1/a//b?c?d=/", Uri(False, "127.0.0.1", 80, "/a//b?c?d=/")),
        ("ws://bücher.example/ä?ß=%23", Uri(False, "xn--bcher-kva.example", 80, "/%C3%A4?%C3%9F=%23")),
        ("ws://bücher.example:81", Uri(False, "xn--bcher-kva.example", 81, "/")),
        ("ws://user:secret@example.org/", Uri(False, "example.org", 80, "/", "user", "secret")),
        ("ws://user@example.org/", Uri(False, "example.org", 80, "/", "user", "")),
        ("ws://us%40er:a%3Ab:c@example.org/@x", Uri(False, "example.org", 80, "/@x", "us@er", "a:b:c")),
    ],
)
def test_url_is_taken_apart(url: str, uri: Uri) -> None:
    assert parse_uri(url) == uri


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "http://example.org/",
        "ws:/example.org/",
        "ws://",
        "ws:///path",
        "ws://example.org/#fragment",
        "ws://example.org/a b",
        "ws://example.org/\r\nX: y",
        "ws://example.org/\x00",
        "ws://example.org/\x7f",
        "ws://example.org/\x85",
        " ws://example.org/",
        "ws://exam\tple.org/",
        "ws://example.org:0/",
        "ws://example.org:65536/",
        "ws://example.org:123456789/",
        "ws://example.org:-1/",
        "ws://example.org:８０/",
        "ws://example.org:80:80/",
        "ws://[::1/",
        "ws://[::1]x/",
        "ws://[]/",
        "ws://[fe80::1%25eth0]/",
        "ws://[1:2:3]/",
        "ws://exa%6Dple.org/",
        "ws://exam\\ple.org/",
        "ws://" + "ä" * 70 + ".example/",
        "ws://example.org/\ud800",
        "ws://us%3Aer:x@example.org/",
        "ws://%0d%0a@example.org/",
        "ws://user:%ff@example.org/",
        "ws://\ud800@example.org/",
    ],
)
def test_other_urls_are_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$") as refused:
        parse_uri(url)
    assert type(refused.value) is ValueError


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("ws://example.org:80/", "example.org"),
        ("ws://example.org:443/", "example.org:443"),
        ("wss://example.org:443/", "example.org"),
        ("wss://example.org:80/", "example.org:80"),
        ("ws://[::1]/", "[::1]"),
        ("ws://[::1]:81/", "[::1]:81"),
    ],
)
def test_host_header_names_the_port_only_where_it_is_not_the_default(url: str, header: str) -> None:
    assert parse_uri(url).host_header == header


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("localhost", ("localhost", None)),
        ("LOCALHOST:8000", ("localhost", 8000)),
        ("a_b.example:", ("a_b.example", None)),
        ("[::FFFF]:1", ("::ffff", 1)),
        ("example.org:0", ("example.org", 0)),
    ],
)
def test_host_header_is_taken_apart(text: str, parts: tuple[str, int | None]) -> None:
    assert split_host_port(text) == parts


@pytest.mark.parametrize("text", ["", ":80", "a b", "a,b", "a/b", "user@a", "[", "[]", "[::1]80", "a:b", "ä"])
def test_malformed_host_header_raises_nothing_but_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        split_host_port(text)


@given(st.text(alphabet=st.sampled_from("wsWS:/@[]%2.#?\\0159aä\ud800\x00 "), max_size=40))
def test_any_text_is_parsed_or_refused_with_value_error(text: str) -> None:
    for candidate in (text, "ws://" + text):
        try:
            uri = parse_uri(candidate)
        except ValueError:
            continue
        assert uri.resource.startswith("/")
        assert (uri.host_header + uri.resource).isascii()
        assert 0 < uri.port < 65536
