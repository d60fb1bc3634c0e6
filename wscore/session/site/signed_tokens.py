"""Signed tokens (JSON Web Tokens), by PyJWT: which of them count.

Decides that only algorithms count which were named, each with keys that fit it: a public key is never taken for the
secret of an HMAC, whatever the token's header says, and "none" is no algorithm (RFC 8725 sections 2.1 and 3.1 to 3.3).
Keys are looked at once, at the start, so that one which is none is seen there and not at the first user. Refuses to
know where tokens come from, and what their claims mean.

RFC 7515, RFC 7519 section 4.1, RFC 8725.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from wscore._extras import missing, require
from wscore.session.site.logs import fields, logger

__all__ = ["Claims", "SignedTokens"]

Claims: TypeAlias = dict[str, Any]

# Seconds up to here are whole numbers in a double, and no clock gets there.
_END_OF_TIME = 1 << 53


class SignedTokens:
    """Those that count; the parameters are those of `jwt_auth`, which says what is raised."""

    def __init__(
        self,
        key: object,
        algorithms: Iterable[str] | str,
        audience: str | Iterable[str] | None = None,
        issuer: str | Iterable[str] | None = None,
        leeway: float = 0.0,
        require: Iterable[str] = ("exp",),
    ) -> None:
        self._jwt = _pyjwt()
        self._algorithms = self._known(_listed(algorithms))
        self._is_by_id = isinstance(key, Mapping)
        given = dict(key) if isinstance(key, Mapping) else {None: key}
        self._keys = {name: self._prepare(each) for name, each in given.items()}
        self._check_that_all_are_used()
        self._audience = None if audience is None else _listed(audience)
        self._issuer = None if issuer is None else _listed(issuer)
        self._leeway = _seconds(leeway)
        self._require = _listed(require)

    def claims_of(self, token: str) -> Claims | str:
        """The claims of a token that counts; else a sentence that says why it does not."""
        jwt = self._jwt
        try:
            claims = self._decode(token)
            return claims if all(map(_is_date, _dates_in(claims))) else "The token is not valid."
        except jwt.ExpiredSignatureError:
            return "The token has expired."
        except jwt.ImmatureSignatureError:
            return "The token is not valid yet."
        # A header that is nested deeply enough is no error of PyJWT's, nor is a date that is no number.
        except (jwt.PyJWTError, RecursionError, TypeError, ValueError, OverflowError) as error:
            why = type(error).__name__
            logger.info("a signed token does not count: %s", why, extra=fields(kind=f"token: {why}", event="token"))
            return "The token is not valid."

    def _decode(self, token: str) -> Claims:
        name = self._jwt.get_unverified_header(token).get("kid") if self._is_by_id else None
        if name not in self._keys:
            raise self._jwt.InvalidKeyError
        key, algorithms = self._keys[name]
        claims: Claims = self._jwt.decode(
            token,
            key,
            algorithms=algorithms,
            audience=self._audience,
            issuer=self._issuer,
            leeway=self._leeway,
            options={"require": self._require},
        )
        return claims

    def _known(self, names: list[str]) -> list[str]:
        available = set(self._jwt.algorithms.get_default_algorithms()) - {"none"}
        if not names:
            raise ValueError("name the algorithms that count, such as HS256 or RS256")
        for name in names:
            if name in self._jwt.algorithms.requires_cryptography - available:
                raise missing(f"the algorithm {name}", "PyJWT and cryptography", "auth")
            if name not in available:
                raise ValueError(f"the algorithm {name!r} is none of {', '.join(sorted(available))}")
        return names

    def _prepare(self, key: Any) -> tuple[object, list[str]]:
        """The key as an object, and the algorithms that it fits."""
        allowed = self._algorithms
        if isinstance(key, self._jwt.PyJWK):
            key, allowed = key.key, [name for name in allowed if name == key.algorithm_name]
        fitting, reason = {}, ""
        for name in allowed:
            try:
                fitting[name] = self._fit(key, name)
            except (self._jwt.InvalidKeyError, TypeError, ValueError) as error:
                reason = f": {error}"
        if not fitting:
            raise ValueError(f"a key fits none of the algorithms {', '.join(self._algorithms)}{reason}")
        return next(iter(fitting.values())), list(fitting)

    def _fit(self, key: object, name: str) -> object:
        algorithm = self._jwt.get_algorithm_by_name(name)
        prepared = algorithm.prepare_key(key)
        # The private half would do, but is not needed to verify.
        prepared = prepared.public_key() if hasattr(prepared, "public_key") else prepared
        if too_short := algorithm.check_key_length(prepared):
            raise ValueError(too_short)
        return prepared

    def _check_that_all_are_used(self) -> None:
        if not self._keys:
            raise ValueError("there is no key to verify signed tokens with")
        used = {name for _, algorithms in self._keys.values() for name in algorithms}
        if unused := [name for name in self._algorithms if name not in used]:
            raise ValueError(f"no key fits the algorithm {unused[0]}")


def _dates_in(claims: Claims) -> list[object]:
    return [claims[name] for name in ("exp", "nbf", "iat") if name in claims]


def _is_date(value: object) -> bool:
    """Whether it is a NumericDate (RFC 7519 section 2). PyJWT takes whatever `int` makes a number of, a text too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_END_OF_TIME < value < _END_OF_TIME  # which NaN is not


def _listed(values: Iterable[str] | str) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


def _seconds(leeway: float) -> float:
    if isinstance(leeway, bool) or not isinstance(leeway, int | float):
        raise TypeError(f"leeway must be a number of seconds, not {leeway!r}")
    if not 0 <= leeway < math.inf:
        raise ValueError(f"leeway must be at least 0 seconds and finite, not {leeway!r}")
    return leeway


def _pyjwt() -> Any:
    require("a signed token", "auth", "jwt")
    import jwt

    return jwt
