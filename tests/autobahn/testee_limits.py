"""The settings that Autobahn's cases need: messages of 16 MiB, in many fragments, compressed with all parameters."""

from typing import Any

LIMITS: dict[str, Any] = {
    "max_message_size": 16 << 20,
    "max_fragments": 131_072,
    "compression": "dedicated",
}
