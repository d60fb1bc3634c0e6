"""UTF-8 validation (RFC 3629; RFC 6455 section 8.1), whole and incremental, in pure Python.

Decides when text can no longer become valid: at the first byte that no continuation could mend, however the text is
split.
"""

from __future__ import annotations

from encodings.utf_8 import IncrementalDecoder

from .masking import flat_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Utf8Validator", "is_valid_utf8"]


class TextDecoder(IncrementalDecoder):
    """Python's decoder of text in parts, but without its patience with surrogates: ED A0 to ED BF cannot become valid,
    and Python waits for a third byte all the same.
    """

    def decode(self, data: Buffer, final: bool = False) -> str:
        """The code points that `data` completes; raises UnicodeDecodeError at the first byte that is wrong."""
        text = super().decode(data, final)
        if self.buffer[:1] == b"\xed" and self.buffer[1:2] >= b"\xa0":
            raise UnicodeDecodeError("utf-8", self.buffer, 0, 1, "surrogates are not allowed")
        return text


def is_valid_utf8(data: Buffer) -> bool:
    """Whether `data` is UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF, nothing cut short."""
    try:
        str(flat_view(data), "utf-8")
    except UnicodeDecodeError:
        return False
    return True


class Utf8Validator:
    """Validates text that comes in parts, and fails at the first byte that is wrong."""

    __slots__ = ("_decoder", "_failed")

    def __init__(self) -> None:
        self._decoder = TextDecoder()
        self._failed = False

    def validate(self, data: Buffer) -> bool:
        """Take the next part; False as soon as the text cannot be valid whatever follows, and for ever after."""
        if not self._failed:
            try:
                self._decoder.decode(flat_view(data))
            except UnicodeDecodeError:
                self._failed = True
        return not self._failed

    def complete(self) -> bool:
        """Whether what came so far is valid and does not end inside a code point."""
        return not self._failed and not self._decoder.getstate()[0]

    def reset(self) -> None:
        """Begin anew, as for the next message."""
        self._decoder.reset()
        self._failed = False
