"""The certificate of `wscore serve`, and how it is replaced while the server runs.

Decides that a new certificate is taken whole or not at all: it is read into a context of its own, and only if that
succeeds do handshakes begin with it. To load it into the context that is in use would not do: one that does not fit its
key would leave that without either, and one with another kind of key (RSA, ECDSA) would only stand beside the old one,
which many clients would still get. So the context in use stays, and with it the keys of session tickets; it hands each
handshake to the newest one (RFC 6066 section 3, which OpenSSL has for names, but calls without a name, too).

Refuses to know who says that there is a new one.
"""

import ssl

from wscore.cli import Failure, reason

__all__ = ["Certificate"]


class Certificate:
    """A certificate chain and its key, in the files given; `context` is for servers, and stays the same.

    Raises `Failure` if they cannot be read.
    """

    def __init__(self, chain: str, key: str | None = None) -> None:
        self._chain = chain
        self._key = key
        self.context = self._newest = self._read()
        self.context.sni_callback = self._use_newest

    def reload(self) -> None:
        """Read the files again: handshakes that begin from now on get what they hold. Connections stay.

        Raises `Failure` if they cannot be read, and then nothing has changed.
        """
        self._newest = self._read()

    def _use_newest(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._newest

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._chain, self._key, _no_password)
        except (OSError, ValueError) as error:
            names = self._chain if self._key is None else f"{self._chain} and {self._key}"
            raise Failure(f"cannot read the certificate or its key from {names}: {reason(error)}", 2) from None
        return context


def _no_password() -> bytes:
    """OpenSSL would ask at the terminal, and stop the server while it waits."""
    raise ValueError("the key is encrypted; store it without a password")
