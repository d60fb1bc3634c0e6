"""Hooks for `serve(authorize=...)`: users who prove themselves by a password, a token or a signed token.

Decides that secrets are compared in constant time, and that none is kept: what is known is a digest of it, under a key
that nobody else has, so that neither a comparison nor a look into a table tells how much of a guess was right. Refuses
to know where credentials stand in a request, and which signed tokens count.

Each function here returns a hook: `authorize(request)` is `Accept(user=...)` or `Refuse`, 401 with WWW-Authenticate in
most cases, or an awaitable of one of them where the application has given an async function. It is asked once, when a
connection opens; what ends a connection when a token expires is the application's.

A browser cannot send the header Authorization with a WebSocket. In the order of preference it can send

- a cookie, set for the server's host by a page of it with Secure, HttpOnly and SameSite, which a script cannot read;
- an offered subprotocol: `new WebSocket(url, ["chat", "bearer." + token])` where `subprotocol="bearer"`. The one that
  has the token is never chosen, and browsers insist on an answer if they offer any: offer another one beside it which
  `serve(subprotocols=...)` has, "bearer" for instance;
- a parameter of the query: `new WebSocket(url + "?access_token=" + token)` where `query="access_token"`. Nothing here
  logs a query, but other programs on the way do: let such tokens expire within a minute (RFC 6750 section 5.3).

RFC 7617 (Basic), RFC 6750 (Bearer), RFC 7519 and RFC 8725 (signed tokens, JWT).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from hashlib import blake2b
from hmac import compare_digest
from secrets import token_bytes
from typing import Generic, TypeAlias, TypeVar

from wscore.protocol.handshake import Accept, Refuse, Request
from wscore.session.site.credentials import Challenge, TokenPlaces, password_of
from wscore.session.site.signed_tokens import Claims, SignedTokens

__all__ = ["Authorize", "Verdict", "basic_auth", "bearer_auth", "jwt_auth"]

Verdict: TypeAlias = Accept | Refuse
Authorize: TypeAlias = Callable[[Request], Verdict | Awaitable[Verdict]]

_Value = TypeVar("_Value")

REALM = "WebSocket"


def basic_auth(
    users: Mapping[str, str] | Callable[[str, str], object | Awaitable[object]], *, realm: str = REALM
) -> Authorize:
    """A hook that wants a user name and a password (RFC 7617). Only TLS keeps them secret on their way.

    `users` has the password of each name; then `ws.user` is the name. Or it is a function, sync or async, of name and
    password, for passwords that are kept as slow hashes; it returns the user, or None or False for nobody (401), or an
    `Accept` or `Refuse`; True stands for the name.

    Raises `TypeError` for what is neither, `ValueError` for an empty name or password, or a realm that is not printable
    ASCII.
    """
    challenge = Challenge("Basic", realm)
    check = _password_checker(users) if isinstance(users, Mapping) else users
    if not callable(check):
        raise TypeError("users are a mapping of names to passwords, or a function of both")

    def authorize(request: Request) -> Verdict | Awaitable[Verdict]:
        given = password_of(request, challenge)
        if isinstance(given, Refuse):
            return given
        nobody = challenge.wrong("The user name or the password is wrong.")
        return _decide(check(*given), nobody, given[0])

    return authorize


def bearer_auth(
    tokens: Mapping[str, object] | Callable[[str], object | Awaitable[object]],
    *,
    realm: str = REALM,
    query: str | None = None,
    cookie: str | None = None,
    subprotocol: str | None = None,
) -> Authorize:
    """A hook that wants a token (RFC 6750), in the header `Authorization: Bearer ...`.

    `tokens` has the user of each token. Or it is a function, sync or async, of the token, and returns the user, or None
    or False for nobody (401), or an `Accept` or `Refuse`. `query`, `cookie` and `subprotocol` name further places: see
    the module. A token is of letters, digits and -._~+/ with = at its end (in a subprotocol without / and =).

    Raises `TypeError` for what is neither, `ValueError` for a token or a name that no request can have, or a realm that
    is not printable ASCII.
    """
    check = _Secrets(tokens).get if isinstance(tokens, Mapping) else tokens
    if not callable(check):
        raise TypeError("tokens are a mapping of tokens to users, or a function of a token")
    challenge = Challenge("Bearer", realm)
    places = TokenPlaces(query, cookie, subprotocol).check()

    def authorize(request: Request) -> Verdict | Awaitable[Verdict]:
        token = places.token_of(request, challenge)
        if isinstance(token, Refuse):
            return token
        return _decide(check(token), challenge.wrong("The token is not valid."), True)

    return authorize


def jwt_auth(
    key: object,
    algorithms: Iterable[str] | str,
    *,
    audience: str | Iterable[str] | None = None,
    issuer: str | Iterable[str] | None = None,
    leeway: float = 0.0,
    require: Iterable[str] = ("exp",),
    user: Callable[[Claims], object | Awaitable[object]] | None = None,
    realm: str = REALM,
    query: str | None = None,
    cookie: str | None = None,
    subprotocol: str | None = None,
) -> Authorize:
    """A hook that wants a signed token (JWT, RFC 7519), which it verifies with PyJWT: the extra `auth`.

    `key` is a secret (bytes or text, as long as the algorithm's hash) for HS256 and the like, a public key in PEM or as
    an object for the others, or a mapping of such keys by the token's `kid`. `algorithms` are those that count; a key
    is only used with those that it fits, and "none" is no algorithm.

    A token must have all claims of `require`, be between `nbf` and `exp` give or take `leeway` seconds by the system's
    clock, be of one of the `issuer`s if any are given, and for one of the `audience`; a token for somebody does not
    count where none is given. `ws.user` is its claims, or what `user`, sync or async, makes of them: None or False for
    nobody (401), or an `Accept` or `Refuse`. The rest is as in `bearer_auth`.

    Raises `ImportError` if PyJWT, or the cryptography that an algorithm needs, is missing; `ValueError` or `TypeError`
    for arguments that make no sense, keys that fit none of the algorithms or are too short, algorithms without a key.
    """
    verifier = SignedTokens(key, algorithms, audience, issuer, leeway, require)
    challenge = Challenge("Bearer", realm)

    def check(token: str) -> object:
        claims = verifier.claims_of(token)
        if isinstance(claims, str):
            return challenge.wrong(claims)
        return claims if user is None else user(claims)

    return bearer_auth(check, realm=realm, query=query, cookie=cookie, subprotocol=subprotocol)


def _decide(found: object, nobody: Refuse, yes: object) -> Verdict | Awaitable[Verdict]:
    """What `found`, the answer of a check, comes to; `yes` is the user where it is only True."""
    if isinstance(found, Awaitable):
        return _decide_later(found, nobody, yes)
    return _verdict(found, nobody, yes)


async def _decide_later(thinking: Awaitable[object], nobody: Refuse, yes: object) -> Verdict:
    return _verdict(await thinking, nobody, yes)


def _verdict(found: object, nobody: Refuse, yes: object) -> Verdict:
    if isinstance(found, Accept | Refuse):
        return found
    if found is None or found is False:
        return nobody
    return Accept(user=yes if found is True else found)


class _Secrets(Generic[_Value]):
    """Secrets and what each stands for, without the secrets."""

    def __init__(self, secrets: Mapping[str, _Value]) -> None:
        self._key = token_bytes(32)
        self._values: dict[bytes, _Value] = {}
        for secret, value in secrets.items():
            if value is None or value is False:
                raise ValueError("None and False stand for nobody: a token needs a user")
            self._values[self.digest(_checked(secret))] = value

    def digest(self, secret: str) -> bytes:
        return blake2b(secret.encode("utf-8", "surrogatepass"), key=self._key, digest_size=32).digest()

    def get(self, secret: str) -> _Value | None:
        """What a secret stands for. How long that takes may tell how digests differ, which nobody can make use of."""
        return self._values.get(self.digest(secret))


def _password_checker(passwords: Mapping[str, str]) -> Callable[[str, str], bool]:
    """Takes the same time for a wrong password and for a name that there is not."""
    secrets: _Secrets[None] = _Secrets({})
    known = {_checked(name): secrets.digest(_checked(password)) for name, password in passwords.items()}
    nobody = token_bytes(32)

    def check(name: str, password: str) -> bool:
        return compare_digest(known.get(name, nobody), secrets.digest(password))

    return check


def _checked(secret: object) -> str:
    if not isinstance(secret, str):
        raise TypeError(f"names, passwords and tokens are str, not {type(secret).__name__}")
    if not secret:
        raise ValueError("an empty name, password or token lets everybody in")
    return secret
