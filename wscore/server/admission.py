"""The admission of a server for Trio: `session.site.admission`, with hooks that Ctrl-C reaches, and pages."""

from collections.abc import Sequence
from email.utils import formatdate
from functools import partial

from wscore.protocol.origin import SitePolicy
from wscore.server import pages
from wscore.session.options import Options
from wscore.session.site.admission import Admission, Buffers
from wscore.session.site.application import OnRequest
from wscore.session.site.auth import Authorize
from wscore.session.site.forwarded import TrustedProxies
from wscore.session.site.statistics import Tally
from wscore.transport.calling import interruptible

__all__ = ["admission_for"]


def admission_for(
    options: Options,
    *,
    subprotocols: Sequence[str],
    sites: SitePolicy,
    authorize: Authorize | None,
    on_request: OnRequest | None,
    documents: pages.Pages | None,
    tally: Tally,
    proxies: TrustedProxies | None = None,
    proxy_protocol: bool = False,
    buffers: Buffers | None = None,
) -> Admission:
    """What the connections of one server go through; `documents` are its pages. Raises as `Admission`."""
    return Admission(
        options,
        subprotocols=subprotocols,
        sites=sites,
        authorize=None if authorize is None else interruptible(authorize),
        on_request=None if on_request is None else interruptible(on_request),
        page=partial(pages.answer, pages=documents or {}),
        has_pages=documents is not None,
        tally=tally,
        proxies=proxies,
        proxy_protocol=proxy_protocol,
        buffers=buffers,
        date=partial(formatdate, usegmt=True),
    )
