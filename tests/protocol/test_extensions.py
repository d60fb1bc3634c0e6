"""Negotiating permessage-deflate (RFC 7692 section 7.1, RFC 6455 section 9.1)."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.protocol.extensions import (
    DeflateParameters,
    accept_deflate,
    check_deflate,
    check_policy,
    deflate_offer,
    deflate_parameters,
    parse_extensions,
)

NAME = "permessage-deflate"
POLICIES = ["takeover", "shared", "dedicated"]


def accept(offer: str, policy: str = "dedicated") -> tuple[str, DeflateParameters] | None:
    return accept_deflate([offer], policy)


# The grammar.


@pytest.mark.parametrize(
    ("values", "extensions"),
    [
        ([], []),
        (["a"], [("a", [])]),
        (["a;b", "c"], [("a", [("b", None)]), ("c", [])]),
        (['a ; b = "c" ;d=e , ,f'], [("a", [("b", "c"), ("d", "e")]), ("f", [])]),
        ([r'a; b="\c\d"'], [("a", [("b", "cd")])]),
        (["constructor; __proto__=toString"], [("constructor", [("__proto__", "toString")])]),
        (["a; b; b"], [("a", [("b", None), ("b", None)])]),
        ([""], []),
        ([" ", ",", "\t,"], []),
    ],
)
def test_extensions_are_parsed(values: list[str], extensions: object) -> None:
    assert parse_extensions(values) == extensions


@pytest.mark.parametrize(
    "parameters",
    [
        *[
            "",
            " ",
            "=b",
            "b=",
            "b c",
            "b=c=d",
            "b;",
            "b;;c",
            "ä",
            "a\x00",
            'b="',
            'b=""',
            'b="c d"',
            'b="c,d"',
            'b="c;d"',
        ],
        *['b="c', 'b=c"', 'b="c"d', 'b="c"d"', r'b="c\"', r'b="c\,d"', 'b="c;d";e', '"b"', 'b="," "'],
    ],
)
def test_extension_whose_parameters_are_no_tokens_is_declined(parameters: str) -> None:
    assert parse_extensions([f"a;{parameters}"]) == [("a", None)]
    assert accept(f"{NAME};{parameters}") is None
    if parameters.replace(r"\"", "").count('"') % 2 == 0:
        assert parse_extensions([f"a;{parameters}", "c; d=e"]) == [("a", None), ("c", [("d", "e")])]
        assert accept(f"{NAME};{parameters}, {NAME}") == (NAME, DeflateParameters())
    with pytest.raises(ValueError):
        check_deflate([f"{NAME};{parameters}"], "takeover")


def test_quoted_string_without_an_end_reaches_to_the_end_of_all() -> None:
    assert parse_extensions(['a; b="c, d; e=f', "g"]) == [("a", None)]


@pytest.mark.parametrize("value", [";a", "a b", "ä", "a\x00", '"a"', "a, b c", "=", '"', ";"])
def test_malformed_extensions_raise(value: str) -> None:
    with pytest.raises(ValueError):
        parse_extensions([value])
    with pytest.raises(ValueError):
        accept_deflate([value], None)


@given(st.text(alphabet=st.sampled_from('ab;=,"\\ \t'), max_size=30))
def test_any_text_is_parsed_or_refused_with_value_error(text: str) -> None:
    try:
        extensions = parse_extensions([text])
    except ValueError:
        return
    good = [(name, pairs) for name, pairs in extensions if pairs is not None]
    again = ", ".join("; ".join([name, *(k if v is None else f"{k}={v}" for k, v in ps)]) for name, ps in good)
    assert parse_extensions([again]) == good


# The server.


@pytest.mark.parametrize(
    ("policy", "answer", "agreed"),
    [
        ("dedicated", NAME, DeflateParameters()),
        (
            "takeover",
            f"{NAME}; client_no_context_takeover",
            DeflateParameters(client_no_context_takeover=True),
        ),
        (
            "shared",
            f"{NAME}; server_no_context_takeover; client_no_context_takeover",
            DeflateParameters(server_no_context_takeover=True, client_no_context_takeover=True),
        ),
    ],
)
def test_policy_decides_what_is_added_to_a_plain_offer(policy: str, answer: str, agreed: DeflateParameters) -> None:
    assert accept(NAME, policy) == (answer, agreed)
    assert accept(f"{NAME}; client_max_window_bits", policy) == (answer, agreed)


def test_server_without_a_policy_accepts_nothing() -> None:
    assert accept_deflate([NAME], None) is None
    assert accept_deflate([], "takeover") is None


def test_every_permutation_of_the_four_parameters_is_honoured() -> None:
    """As sections 12 and 13 of Autobahn's test suite offer them."""
    windows = [None, *range(9, 16)]
    for server_flag, client_flag, server_bits, client_bits in product([False, True], [False, True], windows, windows):
        offer = NAME + "; server_no_context_takeover" * server_flag + "; client_no_context_takeover" * client_flag
        offer += "" if server_bits is None else f"; server_max_window_bits={server_bits}"
        offer += "" if client_bits is None else f"; client_max_window_bits={client_bits}"
        accepted = accept(offer)
        assert accepted is not None
        answer, agreed = accepted
        assert agreed == DeflateParameters(server_flag, client_flag, server_bits or 15, client_bits or 15)
        [(name, parameters)] = parse_extensions([answer])
        assert name == NAME
        assert ("server_no_context_takeover" in dict(parameters)) == server_flag
        assert dict(parameters).get("server_max_window_bits") == (None if server_bits is None else str(server_bits))
        assert set(dict(parameters)) <= set(dict(parse_extensions([offer])[0][1]))


@pytest.mark.parametrize("policy", POLICIES)
def test_what_the_offer_demands_is_kept_under_every_policy(policy: str) -> None:
    accepted = accept(f"{NAME}; server_no_context_takeover; server_max_window_bits=10", policy)
    assert accepted is not None
    answer, agreed = accepted
    assert agreed.server_no_context_takeover
    assert agreed.server_max_window_bits == 10
    assert answer.startswith(f"{NAME}; server_no_context_takeover")
    assert answer.endswith("; server_max_window_bits=10")


@pytest.mark.parametrize(
    "parameter",
    [
        "unknown",
        "constructor",
        "__proto__=1",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=+9",
        "server_max_window_bits=9.0",
        "server_max_window_bits=99999999999999999999999999",
        "client_max_window_bits=0",
        "client_max_window_bits=015",
        "client_max_window_bits=x",
        "Server_No_Context_Takeover",
    ],
)
def test_offer_with_a_parameter_that_is_not_defined_is_declined(parameter: str) -> None:
    """Security cases 51 and 52."""
    assert accept(f"{NAME}; {parameter}") is None
    assert accept(f"{NAME}; {parameter}, {NAME}") == (NAME, DeflateParameters())


def test_first_acceptable_offer_wins() -> None:
    offers = [f"x-webkit-deflate-frame, {NAME}; server_max_window_bits=8", f"{NAME}; server_max_window_bits=9, {NAME}"]
    assert accept_deflate(offers, "dedicated") == (
        f"{NAME}; server_max_window_bits=9",
        DeflateParameters(server_max_window_bits=9),
    )


@pytest.mark.parametrize("name", ["constructor", "toString", "__class__", "Permessage-Deflate", "permessage-bzip2"])
def test_other_extensions_are_declined(name: str) -> None:
    """Security case 51."""
    assert accept(name) is None


def test_server_declines_a_window_that_its_compressor_cannot_keep_to() -> None:
    """Security case 53."""
    assert accept(f"{NAME}; server_max_window_bits=8") is None


def test_server_does_not_rely_on_a_client_that_hints_at_256_bytes() -> None:
    """Security case 53: zlib's compressors take 8 for 9, so the answer leaves the window open."""
    assert accept(f"{NAME}; client_max_window_bits=8") == (NAME, DeflateParameters())


def test_offer_with_quoted_values_is_the_same_offer() -> None:
    assert accept(f'{NAME}; server_max_window_bits="1\\0"') == accept(f"{NAME}; server_max_window_bits=10")


# The client.


def test_client_offers_by_policy() -> None:
    assert deflate_offer("dedicated") == f"{NAME}; client_max_window_bits"
    assert deflate_offer("takeover") == (
        f"{NAME}; server_no_context_takeover; client_max_window_bits, {NAME}; client_max_window_bits"
    )
    shared = f"{NAME}; client_no_context_takeover"
    assert deflate_offer("shared") == (
        f"{shared}; server_no_context_takeover; client_max_window_bits, {shared}; client_max_window_bits"
    )


@pytest.mark.parametrize(
    ("answer", "agreed"),
    [
        (NAME, DeflateParameters()),
        (f"{NAME}; server_no_context_takeover", DeflateParameters(server_no_context_takeover=True)),
        (f"{NAME}; client_no_context_takeover", DeflateParameters(client_no_context_takeover=True)),
        (f"{NAME}; client_max_window_bits=9", DeflateParameters(client_max_window_bits=9)),
        (f'{NAME}; server_max_window_bits="12"', DeflateParameters(server_max_window_bits=12)),
        (
            f"{NAME}; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=11",
            DeflateParameters(False, True, 10, 11),
        ),
    ],
)
def test_client_takes_what_the_server_answers(answer: str, agreed: DeflateParameters) -> None:
    assert check_deflate([answer], "dedicated") == agreed
    assert check_deflate([answer], "takeover") == agreed


def test_client_keeps_the_promise_of_its_shared_offer() -> None:
    assert check_deflate([NAME], "shared") == DeflateParameters(client_no_context_takeover=True)


@pytest.mark.parametrize("policy", [None, *POLICIES])
def test_server_may_accept_nothing(policy: str | None) -> None:
    assert check_deflate([], policy) is None
    assert check_deflate([""], policy) is None


@pytest.mark.parametrize(
    "values",
    [
        ["x-unknown"],
        ["constructor"],
        [f"{NAME}, {NAME}"],
        [NAME, NAME],
        [f"{NAME}, x-unknown"],
        [f"{NAME};"],
        [f"{NAME}; unknown"],
        [f"{NAME}; server_no_context_takeover=1"],
        [f"{NAME}; server_no_context_takeover; server_no_context_takeover"],
        [f"{NAME}; client_max_window_bits"],
        [f"{NAME}; server_max_window_bits"],
        [f"{NAME}; server_max_window_bits=16"],
        [f"{NAME}; server_max_window_bits=7"],
        [f"{NAME}; client_max_window_bits=1000000000000000000000"],
        [f"{NAME}; client_max_window_bits=09"],
    ],
)
def test_client_fails_on_what_it_did_not_offer(values: list[str]) -> None:
    """Security cases 51 and 52."""
    for policy in POLICIES:
        with pytest.raises(ValueError):
            check_deflate(values, policy)


def test_client_without_a_policy_fails_on_any_extension() -> None:
    """Security case 46: compression that was not negotiated."""
    with pytest.raises(ValueError, match="not offered"):
        check_deflate([NAME], None)


def test_windows_of_256_bytes() -> None:
    """Security case 53: what we cannot send fails; what we are to receive is given zlib's 9 bits."""
    with pytest.raises(ValueError, match="256"):
        check_deflate([f"{NAME}; client_max_window_bits=8"], "dedicated")
    agreed = check_deflate([f"{NAME}; server_max_window_bits=8"], "dedicated")
    assert agreed == DeflateParameters(server_max_window_bits=9)


@pytest.mark.parametrize("server", POLICIES)
@pytest.mark.parametrize("client", POLICIES)
def test_both_sides_of_every_pair_of_policies_agree(client: str, server: str) -> None:
    accepted = accept(deflate_offer(client), server)
    assert accepted is not None
    answer, agreed = accepted
    assert check_deflate([answer], client) == agreed
    assert agreed.server_no_context_takeover == (client != "dedicated" or server == "shared")
    assert agreed.client_no_context_takeover == (server != "dedicated" or client == "shared")


def test_policies_are_known_by_name() -> None:
    assert [check_policy(policy) for policy in (None, *POLICIES)] == [None, *POLICIES]
    with pytest.raises(ValueError, match="takeover"):
        check_policy("deflate")


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("permessage-deflate", {}),
        ("permessage-deflate; client_max_window_bits", {"client_max_window_bits": None}),
        ("permessage-deflate; server_max_window_bits=9", {"server_max_window_bits": "9"}),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("x-webkit-deflate-frame", None),
        ("permessage-deflate, permessage-deflate", None),
        ("no token", None),
        ("", None),
    ],
)
def test_one_offer_can_be_looked_at_alone(text, parameters):
    assert deflate_parameters(text) == parameters
