"""What is sent: random messages, the same ones in every run.

Decides how many different ones there are, and in which order each connection sends them: all go round the same list,
each connection from another place. So a server that mixes up connections, or messages of one, is found out, unless the
messages are too short to differ. Text is words of ASCII letters, which compresses about as English does; binary is
noise, which does not.

Refuses to know connections.
"""

import random
from itertools import islice

SEED = 20_111_206  # the month of RFC 6455

# Prime, so that bursts of any usual length begin with another message each time.
_MOST_DIFFERENT = 61
_MOST_BYTES = 1 << 24
_WORDS = 500
_TEXT = 1 << 18


class Payloads:
    """Messages of `size` bytes, `str` or `bytes`: `different` ones, which `messages` has again and again.

    From each of the first ones on, there are at least `longest` of them in a row, for a connection to take as a slice.
    """

    __slots__ = ("different", "messages")

    def __init__(self, size: int, binary: bool, longest: int) -> None:
        source = random.Random(SEED)
        self.different = max(2, min(_MOST_DIFFERENT, _MOST_BYTES // max(size, 1)))
        make = _noises if binary else _texts
        times = -(-longest // self.different) + 1
        self.messages: list[str | bytes] = [*make(source, self.different, size)] * times


def _noises(source: random.Random, count: int, size: int) -> list[bytes]:
    return [source.randbytes(size) for _ in range(count)]


def _texts(source: random.Random, count: int, size: int) -> list[str]:
    """Texts that are parts of one long one, from random places in it on."""
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    weights = range(len(letters), 0, -1)
    words = ["".join(source.choices(letters, weights, k=source.randint(2, 9))) for _ in range(_WORDS)]
    text = " ".join(islice(iter(lambda: source.choice(words), None), _TEXT // 4))[:_TEXT]
    return [(text[place:] + text * (size // _TEXT + 1))[:size] for place in source.sample(range(_TEXT), count)]
