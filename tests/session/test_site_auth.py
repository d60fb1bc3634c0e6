"""Who may connect: passwords, tokens, and where a request may have them (RFC 7617, RFC 6750)."""

import base64
import logging

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from wscore.protocol.headers import Headers
from wscore.protocol.request import Accept, Refuse, Request
from wscore.session.site.auth import Authorize, Verdict, basic_auth, bearer_auth

PASSWORDS = {"ada": "lovelace", "grace": "höpper:1"}
TOKENS = {"abc.DEF-123": "ada", "other~token+/==": {"name": "grace"}}


def request(target: str = "/", **headers: str | list[str]) -> Request:
    """Headers by name, an underscore is a hyphen; a list stands for several of one name."""
    pairs = [
        (name.lower().replace("_", "-"), value)
        for name, values in headers.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return Request("GET", target, Headers(pairs))


def basic(credentials: str | bytes) -> str:
    raw = credentials.encode() if isinstance(credentials, str) else credentials
    return "Basic " + base64.b64encode(raw).decode()


def refusal(verdict: object) -> tuple[int, str]:
    assert isinstance(verdict, Refuse)
    return verdict.status, verdict.headers.get("www-authenticate")


def user_of(verdict: object) -> object:
    assert isinstance(verdict, Accept), verdict
    return verdict.user


# Basic


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (basic("ada:lovelace"), "ada"),
        (basic("grace:höpper:1"), "grace"),
        (basic("ada:lovelace").replace("Basic", "BASIC"), "ada"),
        (basic("ada:lovelace").replace(" ", "   "), "ada"),
    ],
)
def test_the_right_password_lets_in_and_the_user_is_the_name(header: str, name: str) -> None:
    assert user_of(basic_auth(PASSWORDS)(request(Authorization=header))) == name


@pytest.mark.parametrize(
    "credentials",
    [
        "ada:Lovelace",
        "ada:lovelac",
        "ada:lovelace ",
        "ada:",
        "ada",
        "",
        ":",
        ":lovelace",
        "grace:lovelace",
        "eve:lovelace",
        "Ada:lovelace",
        "ada:lovelace\n",
        "ada\0:lovelace",
        b"ada:\xff\xfe",
        "grace:höpper:1".encode("latin-1"),
    ],
)
def test_anything_else_gets_401(credentials: str | bytes) -> None:
    verdict = basic_auth(PASSWORDS, realm='the "chat"')(request(Authorization=basic(credentials)))
    assert refusal(verdict) == (401, 'Basic realm="the \\"chat\\"", charset="UTF-8"')


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YWRh OmxvdmVsYWNl",
        "Basic \xff",
        "Bearer abc",
        "x",
    ],
)
def test_a_header_that_holds_no_password_gets_401(header: str) -> None:
    assert refusal(basic_auth(PASSWORDS)(request(Authorization=header)))[0] == 401


def test_without_a_header_one_is_asked_for() -> None:
    assert refusal(basic_auth(PASSWORDS)(request())) == (401, 'Basic realm="WebSocket", charset="UTF-8"')


def test_two_headers_are_an_error_though_one_is_right() -> None:
    for other in (basic("eve:x"), "Bearer abc", ""):
        twice = request(Authorization=[basic("ada:lovelace"), other])
        assert refusal(basic_auth(PASSWORDS)(twice))[0] == 400
        assert refusal(bearer_auth(TOKENS)(twice))[0] == 400


def test_a_function_decides_instead_of_a_table() -> None:
    teapot = Refuse(418, "I am a teapot.")
    answers = {"yes": True, "no": False, "none": None, "user": {"id": 7}, "teapot": teapot, "zero": 0}
    hook = basic_auth(lambda name, password: answers[name] if password == "pw" else None)

    def asked(name: str, password: str = "pw") -> Verdict:
        return hook(request(Authorization=basic(f"{name}:{password}")))

    assert user_of(asked("yes")) == "yes"
    assert user_of(asked("user")) == {"id": 7}
    assert user_of(asked("zero")) == 0
    assert asked("teapot") is teapot
    assert [refusal(asked(*pair))[0] for pair in (("no",), ("none",), ("yes", "wrong"))] == [401, 401, 401]


async def test_a_function_may_be_async() -> None:
    async def check(name: str, password: str) -> object:
        await trio.lowlevel.checkpoint()
        return Accept(user=name, headers={"X-Seen": "1"}) if password == "pw" else None

    hook = basic_auth(check)
    accepted = await hook(request(Authorization=basic("ada:pw")))
    assert (user_of(accepted), accepted.headers.get("x-seen")) == ("ada", "1")
    assert refusal(await hook(request(Authorization=basic("ada:no"))))[0] == 401


async def test_a_cancelled_check_decides_nothing() -> None:
    async def check(name: str, password: str) -> object:
        await trio.sleep_forever()

    hook = basic_auth(check)
    with trio.move_on_after(0) as scope:
        await hook(request(Authorization=basic("ada:pw")))
    assert scope.cancelled_caught


def test_what_a_check_raises_is_raised() -> None:
    def broken(name: str, password: str) -> object:
        raise KeyError(name)

    with pytest.raises(KeyError):
        basic_auth(broken)(request(Authorization=basic("ada:pw")))


# Bearer


@pytest.mark.parametrize("header", ["Bearer abc.DEF-123", "bearer abc.DEF-123", "BEARER  abc.DEF-123"])
def test_a_known_token_lets_in(header: str) -> None:
    assert user_of(bearer_auth(TOKENS)(request(Authorization=header))) == "ada"


def test_the_user_of_a_token_may_be_any_object() -> None:
    assert user_of(bearer_auth(TOKENS)(request(Authorization="Bearer other~token+/=="))) is TOKENS["other~token+/=="]


@pytest.mark.parametrize(
    "token", ["abc.DEF-12", "abc.DEF-1234", "abc.def-123", "x", "a b", "a,b", "a\xff", "=", "abc.DEF-123,"]
)
def test_any_other_token_gets_401_and_is_not_repeated(token: str) -> None:
    verdict = bearer_auth(TOKENS)(request(Authorization=f"Bearer {token}"))
    status, challenge = refusal(verdict)
    assert status == 401
    assert challenge.startswith('Bearer realm="WebSocket", error="invalid_token", error_description="The token is ')
    assert len(token) < 4 or token not in f"{challenge}{verdict.sentence}"


@pytest.mark.parametrize("headers", [{}, {"Authorization": basic("ada:lovelace")}, {"Authorization": "abc.DEF-123"}])
def test_without_a_token_the_challenge_names_no_error(headers: dict[str, str]) -> None:
    assert refusal(bearer_auth(TOKENS)(request(**headers))) == (401, 'Bearer realm="WebSocket"')


async def test_a_function_of_a_token_may_be_async_or_not() -> None:
    async def slow(token: str) -> object:
        return token == "good"

    assert user_of(await bearer_auth(slow)(request(Authorization="Bearer good"))) is True
    assert refusal(await bearer_auth(slow)(request(Authorization="Bearer bad")))[0] == 401
    assert user_of(bearer_auth(str.upper)(request(Authorization="Bearer good"))) == "GOOD"


# Where a token may stand

EVERYWHERE = bearer_auth(TOKENS, query="access_token", cookie="session", subprotocol="bearer")
PLACES = [
    {"Authorization": "Bearer abc.DEF-123"},
    {"target": "/feed?room=1&access_token=abc.DEF-123"},
    {"target": "/feed?access_token=abc%2EDEF-123"},
    {"target": "http://example.org/feed?access_token=abc.DEF-123"},
    {"Cookie": "theme=dark; session=abc.DEF-123"},
    {"Cookie": ["theme=dark", 'session="abc.DEF-123"']},
    {"Sec_WebSocket_Protocol": "chat, bearer.abc.DEF-123"},
    {"Sec_WebSocket_Protocol": ["chat", "bearer.abc.DEF-123", "bearer"]},
]


@pytest.mark.parametrize("place", PLACES)
def test_a_token_is_found_where_it_may_stand_and_nowhere_else(place: dict) -> None:
    assert user_of(EVERYWHERE(request(**place))) == "ada"
    expected = Accept if "Authorization" in place else Refuse
    assert isinstance(bearer_auth(TOKENS)(request(**place)), expected)


@pytest.mark.parametrize(
    "place",
    [
        {"target": "/feed?Access_Token=abc.DEF-123"},
        {"target": "/access_token=abc.DEF-123"},
        {"target": "/feed?xaccess_token=abc.DEF-123"},
        {"Cookie": "xsession=abc.DEF-123"},
        {"Cookie": "theme=session=abc.DEF-123"},
        {"Sec_WebSocket_Protocol": "xbearer.abc.DEF-123"},
        {"Sec_WebSocket_Protocol": "bearer"},
        {"Sec_WebSocket_Protocol": "abc.DEF-123"},
    ],
)
def test_another_name_is_none(place: dict) -> None:
    assert refusal(EVERYWHERE(request(**place))) == (401, 'Bearer realm="WebSocket"')


@pytest.mark.parametrize(
    "places",
    [
        {"target": "/?access_token=abc.DEF-123&access_token=abc.DEF-123"},
        {"target": "/?access_token=abc.DEF-123&access_token="},
        {"target": "/?access_token=abc.DEF-123", "Authorization": "Bearer abc.DEF-123"},
        {"Authorization": "Bearer abc.DEF-123", "Sec_WebSocket_Protocol": "bearer.abc.DEF-123"},
        {"Sec_WebSocket_Protocol": "bearer.abc.DEF-123, bearer.x"},
        {"Cookie": "session=abc.DEF-123; session=x"},
    ],
)
def test_two_tokens_are_an_error(places: dict) -> None:
    status, challenge = refusal(EVERYWHERE(request(**places)))
    assert (status, 'error="invalid_request"' in challenge) == (400, True)


def test_a_cookie_counts_only_where_no_other_token_is() -> None:
    assert user_of(EVERYWHERE(request(Cookie="session=x", Authorization="Bearer abc.DEF-123"))) == "ada"
    wrong = request(Cookie="session=abc.DEF-123", Authorization="Bearer x")
    assert refusal(EVERYWHERE(wrong))[0] == 401


@given(st.text(st.characters(max_codepoint=255), max_size=40), st.text(st.characters(max_codepoint=255), max_size=40))
def test_whatever_a_request_has_it_is_let_in_only_with_a_token(header: str, target: str) -> None:
    verdict = EVERYWHERE(request(f"/?{target}", Authorization=header, Cookie=header, Sec_WebSocket_Protocol=header))
    assert isinstance(verdict, Refuse) or "abc.DEF-123" in header + target or "other~token" in header + target


@given(st.binary(max_size=40))
def test_whatever_stands_in_a_password_it_is_let_in_only_with_the_right_one(credentials: bytes) -> None:
    verdict = basic_auth(PASSWORDS)(request(Authorization=basic(credentials)))
    assert isinstance(verdict, Refuse) or credentials.decode() in ("ada:lovelace", "grace:höpper:1")


# Misuse


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: basic_auth({"ada": ""}), ValueError, "empty"),
        (lambda: basic_auth({"": "x"}), ValueError, "empty"),
        (lambda: basic_auth({"ada": b"x"}), TypeError, "str"),
        (lambda: basic_auth("ada:x"), TypeError, "mapping"),
        (lambda: basic_auth({}, realm="a\r\nb"), ValueError, "realm"),
        (lambda: basic_auth({}, realm="ünï"), ValueError, "realm"),
        (lambda: bearer_auth({"": 1}), ValueError, "empty"),
        (lambda: bearer_auth({"x": None}), ValueError, "nobody"),
        (lambda: bearer_auth({"x": False}), ValueError, "nobody"),
        (lambda: bearer_auth({5: 1}), TypeError, "str"),
        (lambda: bearer_auth(["x"]), TypeError, "mapping"),
        (lambda: bearer_auth({}, query=""), ValueError, "query"),
        (lambda: bearer_auth({}, cookie="a b"), ValueError, "cookie"),
        (lambda: bearer_auth({}, subprotocol="a,b"), ValueError, "subprotocol"),
    ],
)
def test_senseless_arguments_are_misuse(make: object, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        make()


def reachable(hook: Authorize) -> str:
    """All that the hook holds, as far as closures and attributes go."""
    seen: set[int] = set()
    found: list[str] = []

    def visit(thing: object) -> None:
        if id(thing) in seen:
            return
        seen.add(id(thing))
        found.append(repr(thing))
        for cell in getattr(thing, "__closure__", None) or ():
            visit(cell.cell_contents)
        if hasattr(thing, "__self__"):
            visit(thing.__self__)
        for value in getattr(thing, "__dict__", {}).values():
            visit(value)

    visit(hook)
    return "".join(found)


def test_no_secret_is_kept() -> None:
    assert "ada" in reachable(basic_auth(PASSWORDS))
    assert "lovelace" not in reachable(basic_auth(PASSWORDS))
    assert "grace" in reachable(bearer_auth(TOKENS))
    assert "abc.DEF" not in reachable(bearer_auth(TOKENS))


def test_no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for hook in (EVERYWHERE, basic_auth(PASSWORDS)):
        for place in [*PLACES, {"Authorization": basic("ada:DEF-123")}, {"target": "/?access_token=DEF-123"}]:
            hook(request(**place))
    assert "DEF-123" not in caplog.text
