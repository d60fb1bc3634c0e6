"""Signed tokens: which of them count (RFC 7519, RFC 8725)."""

import base64
import hashlib
import hmac
import json
import logging
import subprocess
import sys
import time
import warnings

import jwt
import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from wscore.protocol.headers import Headers
from wscore.protocol.request import Accept, Refuse, Request
from wscore.session.site.auth import jwt_auth

SECRET = "a secret of 32 bytes, or somewhat more"
OTHER = "another one, and as long as the first"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(private: object) -> str:
    public = private.public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem(private: object) -> bytes:
    nothing = serialization.NoEncryption()
    return private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, nothing)


def token(key: object = SECRET, algorithm: str = "HS256", headers: dict | None = None, **claims: object) -> str:
    """A token that is valid for ten minutes; a claim that is None is left out."""
    claims = {"sub": "ada", "exp": time.time() + 600} | claims
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, key, algorithm, headers)


def unsigned(header: dict | str, claims: dict | str, signature: bytes = b"") -> str:
    parts = [part if isinstance(part, str) else json.dumps(part) for part in (header, claims)]
    encoded = [base64.urlsafe_b64encode(part.encode()) for part in parts] + [base64.urlsafe_b64encode(signature)]
    return b".".join(part.rstrip(b"=") for part in encoded).decode()


def asked(hook: object, text: str) -> object:
    return hook(Request("GET", "/", Headers([("authorization", f"Bearer {text}")])))


def counts(hook: object, text: str) -> bool:
    """Whether it lets in; if not, it says so with 401."""
    verdict = asked(hook, text)
    if isinstance(verdict, Accept):
        return True
    assert isinstance(verdict, Refuse)
    assert verdict.status == 401
    assert verdict.headers.get("www-authenticate").startswith('Bearer realm="WebSocket", error="invalid_token"')
    return False


def test_the_user_is_what_the_token_claims() -> None:
    verdict = asked(jwt_auth(SECRET, "HS256"), token(role="admin"))
    assert isinstance(verdict, Accept)
    assert (verdict.user["sub"], verdict.user["role"]) == ("ada", "admin")


@pytest.mark.parametrize(
    ("algorithm", "private"),
    [("RS256", RSA), ("PS512", RSA), ("ES256", P256), ("EdDSA", ED)],
    ids=["RS256", "PS512", "ES256", "EdDSA"],
)
def test_public_keys_verify_in_pem_as_objects_and_as_jwk(algorithm: str, private: object) -> None:
    text = token(private, algorithm)
    jwk = jwt.PyJWK(jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True), algorithm)
    for key in (pem(private), pem(private).encode(), private.public_key(), private_pem(private), private, jwk):
        assert counts(jwt_auth(key, algorithm), text)
    assert not counts(jwt_auth(private.public_key(), algorithm), text[:-8] + "AAAAAAAA")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_secrets_verify_as_text_and_as_bytes(algorithm: str) -> None:
    secret = SECRET * 2
    for key in (secret, secret.encode()):
        assert counts(jwt_auth(key, algorithm), token(secret, algorithm))
        assert not counts(jwt_auth(key, algorithm), token(OTHER * 2, algorithm))


# Algorithms


def test_only_algorithms_that_were_named_count() -> None:
    hook = jwt_auth(SECRET * 2, ["HS256", "HS384"])
    assert counts(hook, token(SECRET * 2, "HS256"))
    assert counts(hook, token(SECRET * 2, "HS384"))
    assert not counts(hook, token(SECRET * 2, "HS512"))


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, 5, ["HS256"]])
def test_none_is_no_algorithm(name: object) -> None:
    claims = {"sub": "ada", "exp": time.time() + 600}
    assert not counts(jwt_auth(SECRET, "HS256"), unsigned({"alg": name, "typ": "JWT"}, claims))
    assert not counts(jwt_auth(pem(RSA), "RS256"), unsigned({"alg": name, "typ": "JWT"}, claims))


@pytest.mark.parametrize("key", [pem(RSA), pem(RSA).encode(), RSA.public_key()], ids=["text", "bytes", "object"])
def test_a_public_key_is_never_taken_for_a_secret(key: object) -> None:
    """Whoever knows the public key could sign with it, if the header of a token chose the algorithm."""
    head = unsigned({"alg": "HS256", "typ": "JWT"}, {"sub": "eve", "exp": time.time() + 600}).rstrip(".")
    signature = hmac.digest(pem(RSA).encode(), head.encode(), hashlib.sha256)
    forged = f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert not counts(jwt_auth(key, "RS256"), forged)
    with pytest.raises(ValueError, match="no key fits the algorithm HS256"):
        jwt_auth(key, ["RS256", "HS256"])
    with pytest.raises(ValueError, match="fits none of the algorithms HS256"):
        jwt_auth(key, "HS256")


def test_a_token_signed_by_another_kind_of_key_does_not_count() -> None:
    hook = jwt_auth({"rsa": pem(RSA), "p256": pem(P256)}, ["RS256", "ES256"])
    assert counts(hook, token(RSA, "RS256", {"kid": "rsa"}))
    assert counts(hook, token(P256, "ES256", {"kid": "p256"}))
    assert not counts(hook, token(RSA, "RS256", {"kid": "p256"}))
    assert not counts(hook, token(P256, "ES256", {"kid": "rsa"}))


def test_keys_are_chosen_by_their_name() -> None:
    hook = jwt_auth({"old": SECRET, "new": OTHER}, "HS256")
    assert counts(hook, token(SECRET, headers={"kid": "old"}))
    assert counts(hook, token(OTHER, headers={"kid": "new"}))
    assert not counts(hook, token(SECRET, headers={"kid": "new"}))
    assert not counts(hook, token(SECRET, headers={"kid": "../../dev/null"}))
    assert not counts(hook, token(SECRET))
    assert counts(jwt_auth(SECRET, "HS256"), token(SECRET, headers={"kid": "whatever"}))


# Claims


@pytest.mark.parametrize(
    ("name", "inside", "outside", "sentence"),
    [
        ("exp", -50, -70, "The token has expired."),
        ("nbf", 50, 70, "The token is not valid yet."),
        ("iat", 50, 70, "The token is not valid yet."),
    ],
)
def test_a_token_counts_in_its_time_give_or_take_the_leeway(
    name: str, inside: float, outside: float, sentence: str
) -> None:
    now = time.time()
    patient, strict = jwt_auth(SECRET, "HS256", leeway=60), jwt_auth(SECRET, "HS256")
    assert counts(patient, token(**{name: now + inside}))
    assert not counts(patient, token(**{name: now + outside}))
    assert not counts(strict, token(**{name: now + inside}))
    assert asked(strict, token(**{name: now + inside})).sentence == sentence
    assert counts(strict, token(**{name: now - inside}))


def test_a_token_that_never_expires_does_not_count_unless_that_is_meant() -> None:
    forever = token(exp=None)
    assert not counts(jwt_auth(SECRET, "HS256"), forever)
    assert counts(jwt_auth(SECRET, "HS256", require=()), forever)
    assert not counts(jwt_auth(SECRET, "HS256", require=()), token(exp=time.time() - 5))


def test_claims_may_be_required() -> None:
    hook = jwt_auth(SECRET, "HS256", require=["exp", "sub", "jti"])
    assert not counts(hook, token())
    assert counts(hook, token(jti="1"))


def test_a_token_counts_for_its_audience_alone() -> None:
    chat, both, nobody = (jwt_auth(SECRET, "HS256", audience=each) for each in ("chat", ["chat", "news"], None))
    assert [counts(chat, token(aud=aud)) for aud in ("chat", ["x", "chat"], "news", "cha", None)] == [1, 1, 0, 0, 0]
    assert [counts(both, token(aud=aud)) for aud in ("chat", "news", ["x"], None)] == [1, 1, 0, 0]
    assert [counts(nobody, token(aud=aud)) for aud in ("chat", None)] == [0, 1]


def test_a_token_counts_from_its_issuer_alone() -> None:
    one, two = (jwt_auth(SECRET, "HS256", issuer=each) for each in ("https://a.example", ("a", "b")))
    assert [counts(one, token(iss=iss)) for iss in ("https://a.example", "https://a.exampl", "a", None)] == [1, 0, 0, 0]
    assert [counts(two, token(iss=iss)) for iss in ("a", "b", "c", "ab", None)] == [1, 1, 0, 0, 0]


async def test_the_claims_may_be_made_a_user() -> None:
    async def look_up(claims: dict) -> object:
        await trio.lowlevel.checkpoint()
        return claims["sub"].upper() if claims["sub"] == "ada" else None

    hook = jwt_auth(SECRET, "HS256", user=look_up)
    assert (await asked(hook, token())).user == "ADA"
    assert (await asked(hook, token(sub="eve"))).status == 401
    poor = Refuse(403, "Your plan does not include this.")
    assert asked(jwt_auth(SECRET, "HS256", user=lambda claims: poor), token()) is poor


# What a stranger may send


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        unsigned("[]", {}),
        unsigned("5", {}),
        unsigned("{", {}),
        unsigned("[" * 6000, {}),
        unsigned('{"alg":' * 1500, {}),
        unsigned({"alg": "HS256", "kid": 5}, {}),
        unsigned({"alg": "HS256", "kid": ["old"]}, {}),
        unsigned({"alg": "HS256", "b64": False, "crit": ["b64"]}, {}),
        unsigned({"alg": "HS256", "crit": ["x"]}, {}),
        unsigned({"alg": "HS256"}, "[" * 6000),
        unsigned({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}, {}, bytes(32)),
        unsigned({"alg": "HS256", "jku": "http://127.0.0.1/"}, {}, bytes(32)),
    ],
)
def test_a_malformed_token_gets_401(text: str) -> None:
    for hook in (jwt_auth(SECRET, "HS256"), jwt_auth({"old": SECRET}, "HS256"), jwt_auth(pem(RSA), "RS256")):
        assert not counts(hook, text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), inner)
    ),
    max_leaves=6,
)


@given(JSON, JSON, st.binary(max_size=64))
def test_whatever_a_stranger_writes_into_a_token_it_gets_401(header: object, claims: object, signature: bytes) -> None:
    text = unsigned(json.dumps(header), json.dumps(claims), signature)
    assert not counts(BY_ID, text)
    assert not counts(BY_RSA, text)


BY_ID = jwt_auth({"": SECRET, "old": OTHER}, "HS256")
BY_RSA = jwt_auth(pem(RSA), "RS256")


def test_what_is_logged_of_a_token_is_only_what_was_wrong(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    counts(jwt_auth(SECRET, "HS256"), token(OTHER, sub="s3cret", aud="s3cret", headers={"kid": "s3cret"}))
    assert [record.message for record in caplog.records] == ["a signed token does not count: InvalidSignatureError"]


# Misuse


@pytest.mark.parametrize(
    ("key", "options", "error", "sentence"),
    [
        (SECRET, {"algorithms": []}, ValueError, "name the algorithms"),
        (SECRET, {"algorithms": "none"}, ValueError, "'none' is none of"),
        (SECRET, {"algorithms": ["HS256", "none"]}, ValueError, "'none' is none of"),
        (SECRET, {"algorithms": "hs256"}, ValueError, "'hs256' is none of"),
        ("", {}, ValueError, "fits none"),
        (SECRET[:31], {}, ValueError, "31 bytes long"),
        (SECRET, {"algorithms": "HS512"}, ValueError, "bytes long"),
        (None, {}, ValueError, "fits none"),
        ({}, {}, ValueError, "no key"),
        ({"a": SECRET, "b": ""}, {}, ValueError, "fits none"),
        (SECRET, {"algorithms": ["HS256", "RS256"]}, ValueError, "no key fits the algorithm RS256"),
        (pem(RSA), {"algorithms": ["RS256", "ES256"]}, ValueError, "no key fits the algorithm ES256"),
        (pem(P256), {"algorithms": "RS256"}, ValueError, "fits none"),
        ("no key in PEM", {"algorithms": "RS256"}, ValueError, "fits none"),
        (SECRET, {"leeway": -1}, ValueError, "leeway"),
        (SECRET, {"leeway": float("inf")}, ValueError, "leeway"),
        (SECRET, {"leeway": "5"}, TypeError, "leeway"),
        (SECRET, {"query": "a b"}, ValueError, "query"),
    ],
)
def test_senseless_arguments_are_misuse(key: object, options: dict, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        jwt_auth(key, **({"algorithms": "HS256"} | options))


def test_a_weak_key_is_no_key() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(ValueError, match="1024 bits"):
        jwt_auth(weak.public_key(), "RS256")
    with pytest.raises(ValueError, match="fits none"):
        jwt_auth(ec.generate_private_key(ec.SECP384R1()).public_key(), "ES256")


def test_verifying_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert counts(jwt_auth(SECRET, "HS256"), token())


@pytest.mark.parametrize(
    ("absent", "statement", "missing"),
    [
        ("jwt", "jwt_auth('x' * 32, 'HS256')", "a signed token"),
        ("cryptography", "jwt_auth('x', 'RS256')", "the algorithm RS256"),
    ],
)
def test_what_is_missing_is_named_with_the_extra_that_brings_it(absent: str, statement: str, missing: str) -> None:
    program = f"import sys; sys.modules[{absent!r}] = None; from wscore.session.site.auth import jwt_auth; {statement}"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.endswith(f"MissingExtra: {missing} needs PyJWT and cryptography: pip install 'wscore-websockets[auth]'")


def test_an_algorithm_for_which_cryptography_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jwt.algorithms.get_default_algorithms", lambda: {"HS256": None, "none": None})
    with pytest.raises(ImportError, match="the algorithm RS256 needs PyJWT and cryptography"):
        jwt_auth(pem(RSA), "RS256")


def test_neither_passwords_nor_plain_tokens_need_the_extra() -> None:
    program = (
        "import sys; sys.modules['jwt'] = None; from wscore.session.site.auth import basic_auth, bearer_auth; "
        "basic_auth({'a': 'b'}); bearer_auth({'a': 'b'})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def signed(claims: str) -> str:
    """A token with claims as text, which may be what no encoder of JSON writes."""
    parts = [base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in ('{"alg":"HS256"}', claims)]
    signature = hmac.digest(SECRET.encode(), b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


NO_DATES = (
    *("Infinity", "-Infinity", "NaN", "1e400", "-1e400", "true", "false", '"4102444800"', "[4102444800]", "{}"),
    *("9" * 400, "-" + "9" * 400, "9" * 5000, "9007199254740992"),
)


@pytest.mark.parametrize("value", [*NO_DATES, "null"])
def test_an_end_that_is_no_date_does_not_count(value: str) -> None:
    assert not counts(jwt_auth(SECRET, "HS256"), signed(f'{{"exp": {value}}}'))


@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize("value", NO_DATES)
def test_nor_does_a_beginning_that_is_none(name: str, value: str) -> None:
    assert not counts(jwt_auth(SECRET, "HS256"), signed(f'{{"exp": 4102444800, "{name}": {value}}}'))


@pytest.mark.parametrize("value", ["4102444800", "4102444800.5", "4.1e9", "9007199254740991"])
def test_a_number_counts_whole_or_not(value: str) -> None:
    assert counts(jwt_auth(SECRET, "HS256"), signed(f'{{"exp": {value}, "nbf": 0, "iat": 0.5}}'))
