"""TLS on top of a stream, by Trio's `SSLStream` and the standard library's contexts.

Decides how forgiving we are: a peer that ends without close_notify has ended, no more. WebSocket messages have lengths,
so a truncated one cannot pass for a whole one. Certificates and versions are the business of the caller's context.
"""

from __future__ import annotations

import ssl

import trio

__all__ = ["peer_has_gone", "start_tls"]

_ENDS = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


def peer_has_gone(error: OSError) -> bool:
    """Whether a TLS handshake has failed because the peer's bytes ended. Which error that is differs by version: an end
    before the first byte is an `SSLZeroReturnError` in Python 3.11.2.
    """
    return isinstance(error, _ENDS)


async def start_tls(
    stream: trio.abc.Stream,
    ssl_context: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
) -> trio.SSLStream[trio.abc.Stream]:
    """Shake hands on `stream` and return the encrypted stream.

    Raises `ssl.SSLError` (a bad certificate is `ssl.SSLCertVerificationError`) or another `OSError` if the handshake
    fails. Then, and when cancelled, the stream is unusable, and the caller closes it.
    """
    encrypted = trio.SSLStream(
        stream, ssl_context, server_hostname=server_hostname, server_side=server_side, https_compatible=True
    )
    try:
        await encrypted.do_handshake()
    except trio.BrokenResourceError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise ConnectionResetError("the connection broke during the TLS handshake") from None
    return encrypted
