"""What `wscore connect` and `wscore bench` have in common: whom to trust, and the sentence for a server out of reach.

Refuses to know how a server is reached: that is `wscore.client`.
"""

import ssl

import trio

from wscore.cli import Failure, reason
from wscore.cli.options import Settings
from wscore.protocol.handshake import HandshakeError
from wscore.server.logs import escape


def tls_of(settings: Settings) -> ssl.SSLContext | None:
    """Return what decides which certificates to trust; None leaves it to `wscore.client`.

    Raises `Failure` if the file of certificates cannot be read.
    """
    if not settings["insecure"] and settings["ca_file"] is None:
        return None
    try:
        context = ssl.create_default_context(cafile=settings["ca_file"])
    except OSError as error:
        raise Failure(f"cannot read the certificates in {settings['ca_file']}: {reason(error)}", 2) from None
    if settings["insecure"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def failure_of(error: Exception) -> Failure:
    """Return what to say of an error that reaching a server has raised, harmless; status 2 if the arguments did it."""
    if isinstance(error, HandshakeError):
        return Failure(_refusal(error))
    if isinstance(error, ssl.SSLCertVerificationError):
        return Failure(f"the server's certificate is not to be trusted: {error.verify_message}")
    if isinstance(error, OSError):
        return Failure(f"cannot connect: {reason(error)}")
    if isinstance(error, trio.TooSlowError):
        return Failure("cannot connect: the server did not answer in time")
    return Failure(reason(error), 2)


def _refusal(error: HandshakeError) -> str:
    """Return why the opening handshake failed: the server's status and the beginning of what it said, or our reason."""
    response = error.response
    if response is None:
        return f"the opening handshake failed: {reason(error)}"
    body = escape(response.body.decode(errors="replace").strip(), 500)
    return f"the server refused: {response.status} {escape(response.reason)}{f': {body}' if body else ''}"
