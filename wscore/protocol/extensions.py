"""Negotiating permessage-deflate (RFC 7692 section 7.1) in the extension grammar of RFC 6455 section 9.1.

Decides which offers we make and accept under each compression policy. Knows nothing of compressing; whatever
extension is not permessage-deflate is declined (as a server) or refused (as a client), by its name being no other
than that one.

What we offer and answer, by policy:

========= ===================================================== ===================================================
policy    as a client we offer                                  as a server we add to what the offer demands
========= ===================================================== ===================================================
takeover  server_no_context_takeover, else a plain offer        client_no_context_takeover
shared    both no_context_takeovers, else only the client's     both no_context_takeovers
dedicated a plain offer                                         nothing
========= ===================================================== ===================================================

Every offer of ours contains client_max_window_bits, so that the server may choose our window.

**A window of 256 bytes** (8 bits) is legal, but zlib's compressor cannot produce it raw; it would use 512 bytes
instead. So, where the window is for what we send, a server declines the offer and goes on to the next, and a client
fails the handshake. Where it is for what we receive, peers built on zlib may mean 9 when they say 8, and the
decompressor is given 9 or more.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from .headers import is_token

POLICIES = frozenset({"takeover", "shared", "dedicated"})

_NAME = "permessage-deflate"
_MAX_BITS = 15
_MIN_BITS = 9  # what zlib's compressor can keep to
# As text: leading zeros, signs, spaces and overlong numbers are no window size (RFC 7692 section 7.1.2.1).
_WINDOW_BITS = {str(bits): bits for bits in range(8, _MAX_BITS + 1)}
_FLAGS = frozenset({"server_no_context_takeover", "client_no_context_takeover"})
_WINDOWS = frozenset({"server_max_window_bits", "client_max_window_bits"})
_QUOTED_PAIR = re.compile(r"\\(.)")
# RFC 9110 section 5.6.4; one that never ends reaches to the end, so that each character is looked at once.
_QUOTED_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)

Parameters = dict[str, str | None]
Pairs = list[tuple[str, str | None]]


class DeflateParameters(NamedTuple):
    """What both sides agreed on: windows in bits (9 to 15), and which side forgets its window after each message."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = _MAX_BITS
    client_max_window_bits: int = _MAX_BITS


def check_policy(policy: str | None) -> str | None:
    """Give back a compression policy (`None`: no compression), or raise `ValueError` for what is none."""
    if policy is not None and policy not in POLICIES:
        raise ValueError('compression is None, "takeover", "shared" or "dedicated".')
    return policy


def deflate_offer(policy: str) -> str:
    """The value of a client's Sec-WebSocket-Extensions: its offers, best first (RFC 7692 section 5.1)."""
    plain = f"{_NAME}; client_max_window_bits"
    if policy == "takeover":
        return f"{_NAME}; server_no_context_takeover; client_max_window_bits, {plain}"
    if policy == "shared":
        own = f"{_NAME}; client_no_context_takeover"
        return f"{own}; server_no_context_takeover; client_max_window_bits, {own}; client_max_window_bits"
    return plain


def accept_deflate(header_values: Sequence[str], policy: str | None) -> tuple[str, DeflateParameters] | None:
    """As a server, accept the first offer that we can honour (RFC 7692 section 7.1).

    Returns the value of the answer's Sec-WebSocket-Extensions and what was agreed, or `None` to go without, as always
    under the policy `None`. An offer with an unknown parameter, a parameter twice, or a bad value is declined. Raises
    `ValueError` where the header itself is malformed.
    """
    return _negotiate(", ".join(header_values), policy) if header_values else None


# Browsers and libraries send one of a handful of values. A peer can fill this, with 64 heads, and gains nothing.
@lru_cache(maxsize=64)
def _negotiate(offers: str, policy: str | None) -> tuple[str, DeflateParameters] | None:
    for name, pairs in parse_extensions([offers]):
        offer = _collect(pairs) if name == _NAME and policy is not None else None
        if offer is not None and _can_honour(offer):
            agreed = _agree(offer, policy)
            return _format_answer(agreed, offer), agreed
    return None


def check_deflate(header_values: Sequence[str], policy: str | None) -> DeflateParameters | None:
    """As a client, find out what the server's Sec-WebSocket-Extensions means (RFC 6455 4.1, RFC 7692 7.1).

    Returns `None` where the server accepted nothing. Raises `ValueError` where it answers what was not offered,
    what is not defined, or what we cannot keep to.
    """
    extensions = parse_extensions(header_values)
    if not extensions:
        return None
    if policy is None or len(extensions) != 1 or extensions[0][0] != _NAME:
        raise ValueError("The server accepted an extension that was not offered.")
    answer = _collect(extensions[0][1])
    if answer is None or ("client_max_window_bits" in answer and answer["client_max_window_bits"] is None):
        raise ValueError("The server accepted permessage-deflate with parameters that are not defined.")
    client_bits = _bits(answer, "client_max_window_bits")
    if client_bits < _MIN_BITS:
        raise ValueError("The server demands a window of 256 bytes, which zlib cannot produce.")
    return DeflateParameters(
        server_no_context_takeover="server_no_context_takeover" in answer,
        # The offer of "shared" has promised it, whether or not the server repeats it.
        client_no_context_takeover="client_no_context_takeover" in answer or policy == "shared",
        server_max_window_bits=max(_bits(answer, "server_max_window_bits"), _MIN_BITS),
        client_max_window_bits=client_bits,
    )


def parse_extensions(header_values: Sequence[str]) -> list[tuple[str, Pairs | None]]:
    """Names and parameters of a Sec-WebSocket-Extensions list (RFC 6455 section 9.1), in order, values unquoted.

    The parameters are `None` where one of them is no token with, perhaps, a value that is a token once it is unquoted:
    that extension is to be declined. An empty list is as none. Raises `ValueError` where a name is no token. Linear.
    """
    elements = [element.strip(" \t") for element in _split(",".join(header_values), ",")]
    return [_parse_extension(element) for element in elements if element]


def _split(text: str, separator: str) -> list[str]:
    """What stands between separators that are in no quoted string."""
    if '"' not in text:
        return text.split(separator)
    hidden = _QUOTED_STRING.sub(lambda quoted: "-" * len(quoted[0]), text)
    parts, start = [], 0
    for part in hidden.split(separator):
        parts.append(text[start : start + len(part)])
        start += len(part) + 1
    return parts


def deflate_parameters(text: str) -> Parameters | None:
    """What one offer or answer of permessage-deflate says, by name: for those who negotiate it in their own way.

    `None` where that must be declined (RFC 7692 section 7.1): a parameter unknown, given twice or with a bad value, or
    another extension.
    """
    try:
        [(name, pairs)] = parse_extensions([text])
    except ValueError:
        return None
    return _collect(pairs) if name == _NAME else None


def _parse_extension(text: str) -> tuple[str, Pairs | None]:
    name, *parameters = _split(text, ";")
    name = name.strip(" \t")
    if not is_token(name):
        raise ValueError("Sec-WebSocket-Extensions is malformed.")
    pairs = [_parse_parameter(parameter) for parameter in parameters]
    return name, pairs if all(is_token(each) for pair in pairs for each in pair if each is not None) else None


def _parse_parameter(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name.strip(" \t"), _unquote(value.strip(" \t")) if equals else None


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return _QUOTED_PAIR.sub(r"\1", value[1:-1])
    return value


def _collect(pairs: Pairs | None) -> Parameters | None:
    """The parameters by name; `None` where one is unknown, stands twice or has a bad value (RFC 7692 section 7.1)."""
    if pairs is None:
        return None
    parameters = dict(pairs)
    if len(parameters) < len(pairs) or not all(map(_is_valid, parameters, parameters.values())):
        return None
    return parameters


def _is_valid(name: str, value: str | None) -> bool:
    if name in _FLAGS:
        return value is None
    if name not in _WINDOWS:
        return False
    # Only client_max_window_bits may stand without a value, and only in an offer.
    return value in _WINDOW_BITS or (value is None and name == "client_max_window_bits")


def _bits(parameters: Parameters, name: str) -> int:
    return _WINDOW_BITS.get(parameters.get(name) or "", _MAX_BITS)


def _can_honour(offer: Parameters) -> bool:
    return _bits(offer, "server_max_window_bits") >= _MIN_BITS


def _agree(offer: Parameters, policy: str | None) -> DeflateParameters:
    client_bits = _bits(offer, "client_max_window_bits")
    return DeflateParameters(
        server_no_context_takeover="server_no_context_takeover" in offer or policy == "shared",
        # In an offer this is the client's promise (section 7.1.1.2); agreeing to it spares us a decompressor.
        client_no_context_takeover="client_no_context_takeover" in offer or policy != "dedicated",
        server_max_window_bits=_bits(offer, "server_max_window_bits"),
        # A client that says 8 may do so all the same, but we do not rely on it.
        client_max_window_bits=client_bits if client_bits >= _MIN_BITS else _MAX_BITS,
    )


def _format_answer(agreed: DeflateParameters, offer: Parameters) -> str:
    parts = [_NAME]
    parts += ["server_no_context_takeover"] * agreed.server_no_context_takeover
    parts += ["client_no_context_takeover"] * agreed.client_no_context_takeover
    if "server_max_window_bits" in offer:
        parts.append(f"server_max_window_bits={agreed.server_max_window_bits}")
    if agreed.client_max_window_bits < _MAX_BITS:
        parts.append(f"client_max_window_bits={agreed.client_max_window_bits}")
    return "; ".join(parts)
