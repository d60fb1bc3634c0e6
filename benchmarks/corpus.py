"""What is sent in the benchmarks: payloads, texts, lengths and keys, all from fixed seeds.

Decides how the data looks; knows nothing of frames or of who is measured. No two messages of a batch are alike, so that
neither caches nor the processor's memory of branches make anybody look faster than he is.

Texts have the words, spaces and punctuation of their language. Their sizes are in bytes of UTF-8, exact to the byte:
what is left over at the end is filled up with full stops.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from functools import cache

SEED = 6455

SIZES = (0, 16, 125, 1024, 4096, 16384, 65536, 1 << 20)

WORDS = {
    "ascii": (
        "the of and to in is was for that on as with by at from his it an were are which this also be has had "
        "first one their its new after but who not they have her she two been other when there all during into "
        "school time years more most only over city some world would where later up such used many can state "
        "about national out known"
    ),
    "latin": (
        "der die das und für über größer schön müde Straße weiß äußern können près été déjà où même garçon élève "
        "forêt naïve coeur à la vie être français año niño mañana corazón también está más después razón über "
        "Käse på är där så för människor många måste også båt São não coração você até avó é à los les une dans "
        "pour qui que sur avec"
    ),
    "cyrillic": (
        "и в не на я быть он с что а по это она этот к но они мы весь который из у так свой для человек год от "
        "такой время тот если рука жизнь дело самый день слово первый новый место лицо друг глаз вопрос дом "
        "сторона страна мир случай голова ребёнок сила конец вид система часть город отношение женщина деньги "
        "земля машина вода отец проблема час"
    ),
    "cjk": (
        "我们 你好 世界 今天 天气 很好 可以 没有 什么 因为 所以 但是 时间 知道 如果 已经 开始 问题 工作 "
        "生活 中国 北京 学生 老师 朋友 喜欢 电脑 网络 消息 发送 接收 文字 数据 服务器 客户端 连接 日本 "
        "東京 ありがとう こんにちは です ます について という ください メッセージ サーバー 안녕하세요 "
        "감사합니다 메시지 한국"
    ),
    "emoji": (
        "😀 😂 🤣 😊 😍 🙏 🎉 🚀 🔥 👍 👀 💯 🤔 😎 🥳 🌍 🐍 🍕 ☕ 🏆 💡 🧪 🛠️ ❤️ ✨ 👩‍💻 🇫🇷 👋🏽 ok yes lol thanks "
        "see you wow great done nice"
    ),
}
SEPARATORS = {"cjk": ("", "", "", "", "，", "。", "、")}
USUAL_SEPARATORS = (" ",) * 24 + (", ", ". ", "? ", "! ", " - ", "\n")

# Texts of ASCII with one character that does not fit, by where it stands.
WIDE = "😀"
PLACES = ("first", "middle", "last")

TEXTS = ("ascii", "latin", "cyrillic", "cjk", "emoji", *PLACES)


def source(*names: object) -> random.Random:
    """A generator of its own for whatever is named so; the same in each run."""
    return random.Random(repr((SEED, *names)))


def payloads(size: int, count: int) -> list[bytes]:
    """`count` random payloads of `size` bytes."""
    generator = source("payload", size)
    return [generator.randbytes(size) for _ in range(count)]


def keys(count: int) -> list[bytes]:
    """Random mask keys."""
    generator = source("key")
    return [generator.randbytes(4) for _ in range(count)]


def lengths(count: int, most: int = 4096) -> list[int]:
    """Random lengths from 0 to `most`, small ones as likely as large ones: the logarithm is even."""
    generator = source("length", most)
    return [int(math.exp(generator.random() * math.log(most + 1))) - 1 for _ in range(count)]


def texts(kind: str, size: int, count: int) -> list[str]:
    """`count` texts of `size` bytes of UTF-8."""
    generator = source("text", kind, size)
    return [text(generator, kind, size) for _ in range(count)]


def text(generator: random.Random, kind: str, size: int) -> str:
    if kind not in PLACES:
        return written(generator, kind, size)
    wide = len(WIDE.encode())
    if size < wide:
        return written(generator, "ascii", size)
    ascii_text = written(generator, "ascii", size - wide)
    at = {"first": 0, "middle": len(ascii_text) // 2, "last": len(ascii_text)}[kind]
    return ascii_text[:at] + WIDE + ascii_text[at:]


def written(generator: random.Random, kind: str, size: int) -> str:
    """Words and separators of just `size` bytes, from a random word of a long text on."""
    book, words = _book(kind)
    parts = []
    while size > _CHAPTER:
        parts.append(_excerpt(book, generator.choice(words), _CHAPTER))
        size -= _CHAPTER
    parts.append(_excerpt(book, generator.choice(words), size))
    return "".join(parts)


_CHAPTER = 1 << 14
_BOOK = 1 << 18


@cache
def _book(kind: str) -> tuple[bytes, list[int]]:
    """A long text, and where a word begins in it with a chapter behind it."""
    generator = source("book", kind)
    words = WORDS[kind].split()
    separators = SEPARATORS.get(kind, USUAL_SEPARATORS)
    book = bytearray()
    starts = []
    while len(book) < _BOOK + _CHAPTER:
        starts.append(len(book))
        book += (generator.choice(words) + generator.choice(separators)).encode()
    return bytes(book), [start for start in starts if start < _BOOK]


def _excerpt(book: bytes, start: int, size: int) -> str:
    kept = book[start : start + size].decode(errors="ignore")
    return kept + "." * (size - len(kept.encode()))


def mixed(count: int) -> list[str | bytes]:
    """Messages of all kinds and of random lengths up to 4 KiB: what no branch predictor can learn."""
    generator = source("mixed")
    kinds = ("binary", "binary", "ascii", "ascii", *TEXTS)
    return [
        generator.randbytes(size) if kind == "binary" else text(generator, kind, size)
        for size, kind in zip(lengths(count), generator.choices(kinds, k=count), strict=True)
    ]


def json_messages(count: int) -> list[str]:
    """JSON of just 120 bytes, as a chat or a ticker sends it: the same keys, other values. For permessage-deflate."""
    messages = _json_messages(source("json"))
    return [next(messages) for _ in range(count)]


def _json_messages(generator: random.Random) -> Iterator[str]:
    words = WORDS["ascii"].split()
    names = [f"{generator.choice(words)}{generator.randrange(100)}" for _ in range(50)]
    time = 1_700_000_000_000
    while True:
        time += generator.randrange(1, 5000)
        message = {"type": "chat", "id": generator.randrange(10**6), "user": generator.choice(names), "ts": time}
        room = 120 - len(json.dumps({**message, "text": ""}))
        yield json.dumps({**message, "text": written(generator, "ascii", room).replace("\n", " ")})
