"""The one type that wsproto gives a name: header fields as pairs of bytes."""

Headers = list[tuple[bytes, bytes]]
