"""The numbers of RFC 6455: opcodes (section 5.2), close codes (section 7.4.1), and the two roles.

Decides which close codes may stand in a Close frame. Knows nothing of frames or states.
"""

from __future__ import annotations

import enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

__all__ = ["CLIENT", "SERVER", "CloseCode", "Opcode", "Role", "is_sendable_close_code"]


class Role(enum.Enum):
    """Which end of the connection we are: clients mask their frames, servers do not (RFC 6455 section 5.1)."""

    CLIENT = "client"
    SERVER = "server"


CLIENT: Final = Role.CLIENT
SERVER: Final = Role.SERVER


class Opcode(enum.IntEnum):
    """What a frame carries (RFC 6455 section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class CloseCode(enum.IntEnum):
    """Why a connection ended (RFC 6455 section 7.4.1 and IANA's registry of close codes)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


# 1005, 1006 and 1015 only ever describe what happened; 1004 and 1016 to 2999 have no meaning yet (section 7.4.2).
_REGISTERED = frozenset(CloseCode) - {CloseCode.NO_STATUS, CloseCode.ABNORMAL, CloseCode.TLS_HANDSHAKE}


def is_sendable_close_code(code: int) -> bool:
    """Whether `code` may stand in a Close frame: 1000 to 1003, 1007 to 1014, and 3000 to 4999 (section 7.4)."""
    return 3000 <= code <= 4999 or code in _REGISTERED
