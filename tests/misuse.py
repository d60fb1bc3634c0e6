"""A program that uses every class of compiled modules as it must not be used: `misuse.py SEED CALLS MODULE...`.

Objects are made without `__init__`, by `__new__`, with `__init__` called twice, and used with each other, with values
of all kinds, in the middle of calls of each other, copied, pickled and dropped. What a call may do is raise. A crash,
and SystemError, by which CPython says that a function of C broke its rules, end the program with another status than
0; the last line that it has written says which call did that. For one seed it always does the same.
"""

import ast
import copy
import faulthandler
import importlib
import inspect
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from wscore.codec import CLIENT, SERVER

# How deep calls may be inside of each other.
DEPTH = 3

# Parameters of a function or method: the name, the classes that its annotation names, and whether it is a keyword.
Parameters = list[tuple[str, list[str], bool]]


class Meddler:
    """A value that, whatever it is asked for, has others do something in the middle of the call."""

    def __init__(self, misuse: "Misuse") -> None:
        self._misuse = misuse

    def _meddle(self) -> None:
        self._misuse.call_anything()

    def __index__(self) -> int:
        self._meddle()
        return 1

    def __bool__(self) -> bool:
        self._meddle()
        return True

    def __iter__(self) -> Iterator[Any]:
        self._meddle()
        yield self._misuse.anything()

    def __len__(self) -> int:
        self._meddle()
        return 1

    def __buffer__(self, flags: int) -> memoryview:  # which Python asks for from 3.12 on (PEP 688)
        self._meddle()
        return memoryview(bytearray(b"meddled"))

    def __release_buffer__(self, view: memoryview) -> None:
        self._meddle()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # which copying and pickling ask for
            raise AttributeError(name)
        self._meddle()
        return self._misuse.random.choice([lambda *_: b"frame", lambda *_: None, lambda *_: self, 1, None])

    def __del__(self) -> None:
        self._meddle()


class Word(str):
    """Text that is other text to whoever asks it."""

    def encode(self, *_: object) -> Any:
        return None

    def __len__(self) -> int:
        return -1  # noqa: PLE0303


class Misuse:
    """Objects of all kinds, made in all ways, and what may be called on them with each other."""

    def __init__(self, seed: int, modules: list[ModuleType]) -> None:
        self.random = random.Random(seed)
        self.depth = 0
        self.functions = [value for module in modules for value in vars(module).values() if is_function(value, module)]
        self.classes = [cls for module in modules for cls in compiled_classes(module)]
        self.classes += [careless for cls in tuple(self.classes) if (careless := subclass_without_init(cls))]
        self.parameters = {name: found for module in modules for name, found in parameters_of(module).items()}
        self.objects: list[Any] = []
        self.values = values(self)

    def run(self, calls: int) -> None:
        """Misuse for so many calls, not counting those inside of them."""
        self.keep(*(attempt(cls.__new__, cls) for cls in self.classes))
        for number in range(calls):
            # What is there does not stay long: the end of an object is a use of it as well.
            if number % 20 == 0:
                del self.objects[: len(self.objects) - 3 * len(self.classes)]
                self.make()
            self.call_anything()

    def call_anything(self) -> None:
        """Call something with something."""
        if self.depth < DEPTH and self.objects:
            self.depth += 1
            try:
                others = [self.make, self.call_function, self.touch_attribute, self.duplicate]
                self.random.choice([self.call_method] * 12 + others)()
            finally:
                self.depth -= 1

    def make(self) -> None:
        """An instance, initialised or not."""
        cls = self.random.choice(self.classes)
        arguments, keywords = self.arguments(f"{cls.__name__.removeprefix('Careless')}.__init__")
        made = attempt(cls, *arguments, **keywords) if self.random.random() < 0.6 else None
        self.keep(attempt(cls.__new__, cls) if made is None else made)

    def keep(self, *made: Any) -> None:
        self.objects += [each for each in made if type(each) in self.classes]

    def call_method(self) -> None:
        subject = self.random.choice(self.objects)
        cls = next((each for each in type(subject).__mro__ if f"{each.__name__}.__init__" in self.parameters), None)
        names = [name for name in dir(type(subject)) if name == "__init__" or not name.startswith("__")]
        name = self.random.choice(names)
        method = attempt(getattr, subject, name)
        if callable(method):
            arguments, keywords = self.arguments(f"{cls.__name__ if cls else ''}.{name}")
            attempt(method, *arguments, **keywords)

    def call_function(self) -> None:
        function = self.random.choice(self.functions or [repr])
        arguments, keywords = self.arguments(function.__name__)
        attempt(function, *arguments, **keywords)

    def touch_attribute(self) -> None:
        subject = self.random.choice(self.objects)
        name = self.random.choice(dir(type(subject)))
        if name not in ("__class__", "__dict__"):
            attempt(self.random.choice([getattr, delattr]), subject, name)
            attempt(setattr, subject, name, self.anything())

    def duplicate(self) -> None:
        subject = self.random.choice(self.objects)
        for way in (copy.copy, copy.deepcopy, pickled, repr, hash, len, iter):
            self.keep(attempt(way, subject))

    def arguments(self, name: str) -> tuple[list[Any], dict[str, Any]]:
        """Arguments for what bears this name; most are of the kind that its stub asks for, some of them are missing."""
        if name not in self.parameters or self.random.random() < 0.1:
            return [self.anything() for _ in range(self.random.randrange(4))], {}
        positional, keywords = [], {}
        for parameter, kinds, is_keyword in self.parameters[name]:
            if not is_keyword:
                positional.append(self.fitting(kinds))
            elif self.random.random() < 0.5:
                keywords[parameter] = self.fitting(kinds)
        return positional, keywords

    def fitting(self, kinds: list[str]) -> Any:
        """A value of one of these kinds, or, now and then, of none of them."""
        kind = self.random.choice(kinds) if kinds and self.random.random() < 0.85 else ""
        found = [each for each in self.objects if type(each).__name__ in (kind, f"Careless{kind}")]
        if kind == "Iterable":
            return [self.anything() for _ in range(self.random.randrange(4))]
        return self.random.choice(found or self.values_of.get(kind) or [self.anything()])

    def anything(self) -> Any:
        return self.random.choice(self.objects if self.objects and self.random.random() < 0.5 else self.values)

    @property
    def values_of(self) -> dict[str, list[Any]]:
        buffers = [each for each in self.values if isinstance(each, bytes | bytearray | memoryview)]
        texts = [each for each in self.values if isinstance(each, str)]
        numbers = [each for each in self.values if isinstance(each, int)]
        meddler = self.values[-1]
        return {
            "Buffer": [*buffers, meddler], "bytes": buffers, "str": texts, "int": [*numbers, meddler],
            "bool": [True, False, meddler], "list": [[]], "Role": [CLIENT, SERVER, SERVER, meddler],
            "Prepared": [meddler], "None": [None],
        }  # fmt: skip


def values(misuse: Misuse) -> list[Any]:
    return [
        None, True, 0, 1, -1, 2, 9, 15, 125, 2**31, 2**63 - 1, 2**64, -(2**63), 0.5, float("nan"), "", "text",
        "\N{SNOWMAN}", "\ud800", Word("word"), b"", b"\0\0\xff\xff", b"\x82\x83abcdabc",
        b"\xc2\x85abcd\xab\x50\x50\0\0", b"\x42\x04\x2a\0\0\0", b"\xc1\x04\x2a\0\0\0", b"\x01\x02ab",
        b"\x80\x01c", b"\x89\0", b"key!", bytes(20_000),
        bytearray(b"buffer"), memoryview(b"view")[::2], [], [None], (), {}, object(), int, lambda *_: None,
        Meddler(misuse),
    ]  # fmt: skip


def compiled_classes(module: ModuleType) -> list[type]:
    """The classes that a module defines, be they listed in `__all__` or not."""
    return [each for each in vars(module).values() if inspect.isclass(each) and each.__module__ == module.__name__]


def subclass_without_init(cls: type) -> type | None:
    """None where a class lets nobody inherit."""
    try:
        return type(f"Careless{cls.__name__}", (cls,), {"__init__": lambda *_, **__: None})
    except TypeError:
        return None


def is_function(value: object, module: ModuleType) -> bool:
    return callable(value) and not inspect.isclass(value) and not getattr(value, "__name__", "_").startswith("_")


def parameters_of(module: ModuleType) -> dict[str, Parameters]:
    """What functions, and methods as `Class.method`, take, from the module's stub: compiled code need not know it."""
    stub = Path(module.__file__ or "").parent / f"{module.__name__.rpartition('.')[2]}.pyi"
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    found = {node.name: parameters_in(node.args) for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = (each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{each.name}": parameters_in(each.args)[1:] for each in methods}
    return found


def parameters_in(arguments: ast.arguments) -> Parameters:
    positional = [(each.arg, kinds_in(each.annotation), False) for each in arguments.posonlyargs + arguments.args]
    return positional + [(each.arg, kinds_in(each.annotation), True) for each in arguments.kwonlyargs]


def kinds_in(annotation: ast.expr | None) -> list[str]:
    if annotation is None:
        return []
    names = [each.id for each in ast.walk(annotation) if isinstance(each, ast.Name)]
    return names + ["None" for each in ast.walk(annotation) if isinstance(each, ast.Constant) and each.value is None]


def misuse(modules: list[str], seed: int, calls: int) -> None:
    """Run this program; fails with the last calls and where it crashed, if it did."""
    command = [sys.executable, __file__, str(seed), str(calls), *modules]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, "\n".join([*result.stdout.splitlines()[-20:], result.stderr])


def pickled(value: object) -> object:
    return pickle.loads(pickle.dumps(value))


def attempt(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What a call returns, None if it raises; a broken rule of C ends the program."""
    print(told(function), *map(told, arguments), *(f"{key}={told(value)}" for key, value in keywords.items()))
    try:
        return function(*arguments, **keywords)
    except SystemError:
        raise
    except Exception:
        return None


def told(value: object) -> str:
    """In a few words, and without asking the value."""
    if type(value) in (bytes, str, int, float, bool, type(None)):
        return ascii(value)[:60]
    return str(getattr(value, "__qualname__", type(value).__qualname__))


if __name__ == "__main__":
    faulthandler.enable()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    seed, calls, *names = sys.argv[1:]
    Misuse(int(seed), [importlib.import_module(name) for name in names]).run(int(calls))
