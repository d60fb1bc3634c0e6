"""Which layer may import what. One table, third-party packages included; whatever is not in it fails."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Set
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.checkout

ROOT = Path(__file__).parent.parent
INPUT_AND_OUTPUT = {"asyncio", "select", "selectors", "signal", "socket", "ssl", "subprocess"}
CLOCKS_AND_LOGS = {"datetime", "logging", "sched", "time"}


class Layer(NamedTuple):
    below: Set[str]
    """The folders of wscore it may import from, besides its own."""
    outside: Set[str] = frozenset()
    """The third-party packages that it may import."""
    inside_functions: Set[str] = frozenset()
    """The same, but never at the top of a module: what an extra brings."""
    without: Set[str] = frozenset()
    """The modules of the standard library that it does without."""


LAYERS = {
    "codec": Layer(set(), outside={"cython", "cpython", "libc"}, without=INPUT_AND_OUTPUT | CLOCKS_AND_LOGS),
    "protocol": Layer({"codec"}, inside_functions={"idna"}, without=INPUT_AND_OUTPUT | CLOCKS_AND_LOGS | {"threading"}),
    "session": Layer({"codec", "protocol", "session.site"}, without=INPUT_AND_OUTPUT | CLOCKS_AND_LOGS | {"threading"}),
    # A part of the same: the operator of a site is told who was refused, through `logging`.
    "session.site": Layer(
        {"codec", "protocol", "session"},
        inside_functions={"jwt"},
        without=INPUT_AND_OUTPUT | (CLOCKS_AND_LOGS - {"logging"}) | {"threading"},
    ),
    "transport": Layer(
        {"codec", "protocol", "session"}, outside={"trio", "outcome", "cython", "cpython", "libc"}, without={"asyncio"}
    ),
    "server": Layer(
        {"codec", "protocol", "session", "session.site", "transport"},
        outside={"trio", "h11"},
        inside_functions={"prometheus_client"},
        without={"asyncio"},
    ),
    "client": Layer({"codec", "protocol", "session", "transport"}, outside={"trio"}, without={"asyncio"}),
    "cli": Layer(
        {"codec", "protocol", "session", "session.site", "transport", "server", "client"},
        outside={"trio"},
        inside_functions={"rich", "msgspec"},
        without={"asyncio"},
    ),
    # Each adapter is a layer of its own: it knows the library that it is for, and no other adapter.
    "adapters": Layer(set()),
    "adapters.asyncio": Layer({"codec", "protocol", "session", "session.site"}, outside={"cython", "cpython", "libc"}),
    "adapters.uvicorn": Layer({"codec", "protocol", "session"}, outside={"uvicorn"}),
    # It stands in for its library, and needs h11 for the bodies of refusals only.
    "adapters.wsproto": Layer({"codec", "protocol"}, outside={"h11"}),
}
# What every layer may import: they stand beside the layers, and import nothing of them.
FOR_ALL = {"_extras", "_version"}
# What every layer may import for type checkers alone, which bring it themselves.
ONLY_FOR_TYPES = {"typing_extensions"}
# The one module that may choose between the twins of the codec, and so the only one that may import them.
SWITCH = "wscore.codec"
TWINS = ("wscore.codec.pure", "wscore.codec.native")

# What makes and checks frames and handshakes: the rules of RFC 6455 that the codec and the protocol keep to themselves.
RULES = {
    *(f"wscore.codec.{name}" for name in ("opcodes", "pure", "kernels")),
    *(f"wscore.codec.native.{name}" for name in ("deflate", "frames", "masking", "utf8")),
    *(f"wscore.protocol.{name}" for name in ("compression", "head", "headers", "request", "response", "uri")),
}
NAMES_OF_RULES = {
    *("Defect", "DefectError", "Deflater", "Inflater", "Opcode", "Stop", "Utf8Validator", "encode_frame"),
    *("is_sendable_close_code", "is_valid_utf8", "mask", "mask_inplace"),
    *("ClientHandshake", "Handshake", "ServerHandshake", "select_subprotocol"),
}
# The bits of a frame's header, its opcodes by name, masks, header fields, and close codes as bare numbers.
TRACES_OF_RULES = re.compile(
    r"0x0?f\b|0x[4-7]0\b|0x7[def]\b|0x80\b|opcode|\bop_|\brsv|\bmask\b|unmask|sec-websocket|258eafa5"
    r"|(?<=[(\[{,=<>])10[01]\d\b|(?<=[(\[{,=<>] )10[01]\d\b",
    re.I,
)


class Import(NamedTuple):
    module: str
    name: str
    """What is imported from it; empty for a plain `import module`."""
    depth: str
    """ "top", "function" or "types" (under TYPE_CHECKING)."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.glob("wscore/**/*.py"))}
COMPILED = {name_of(path): path for path in sorted(ROOT.glob("wscore/**/*.pyx"))}
ENDINGS = ("py", "pyi", "pyx", "pxd", "pxi")
IN_LAYERS = sorted(path for ending in ENDINGS for path in ROOT.glob(f"wscore/*/**/*.{ending}"))
# A file that one cannot keep in mind decides too much.
MOST_LINES = 500
SOURCES = [path for ending in (*ENDINGS, "c", "h") for path in ROOT.glob(f"wscore/**/*.{ending}")]
IN_TRANSPORT = [path for path in IN_LAYERS if path.is_relative_to(ROOT / "wscore" / "transport")]


def imports_below(node: ast.AST, package: str, depth: str) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, "", depth) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = resolve_name("." * child.level + (child.module or ""), package)
            yield from (Import(module, alias.name, depth) for alias in child.names)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_below(child, package, "function" if depth == "top" else depth)
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from imports_below(ast.Module(child.body, []), package, "types")
            yield from imports_below(ast.Module(child.orelse, []), package, depth)
        else:
            yield from imports_below(child, package, depth)


def imports_of(path: Path) -> list[Import]:
    package = name_of(path.parent / "__init__.py")
    if path.suffix in (".py", ".pyi"):
        depth = "top" if path.suffix == ".py" else "types"
        return list(imports_below(ast.parse(path.read_text(encoding="utf-8")), package, depth))
    # Cython's files are no Python; every import of theirs stands on a line of its own.
    found = re.findall(
        r"^ *(?:from +([\w.]+) +c?import +([^\n]+)|c?import +([\w.]+))", path.read_text(encoding="utf-8"), re.M
    )
    return [
        Import(resolve_name(module or plain, package), name.split()[0] if name else "", "top")
        for module, names, plain in found
        for name in names.strip("()").split(",")
    ]


def target_of(an_import: Import) -> str:
    """The module that is meant: `from wscore.codec import opcodes` imports `wscore.codec.opcodes`."""
    longer = f"{an_import.module}.{an_import.name}"
    if longer == "wscore.__version__":
        return "wscore._version"
    return longer if longer in {*MODULES, *COMPILED} else an_import.module


def layer_of(module: str) -> str:
    """The key of a module in the table: its folder in wscore, and the one inside of that if it has a row of its own."""
    folder, *below = module.split(".")[1:]
    inner = ".".join([folder, *below[:1]])
    return inner if folder == "adapters" or inner in LAYERS else folder


def refused(module: str, layer: Layer, an_import: Import) -> bool:
    top, *rest = target_of(an_import).split(".")
    if top == "wscore":
        return not rest or layer_of(target_of(an_import)) not in {*layer.below, layer_of(module), *FOR_ALL}
    if top in layer.outside or top in sys.stdlib_module_names - layer.without:
        return False
    if an_import.depth == "types":
        return top not in ONLY_FOR_TYPES | layer.inside_functions
    return top not in layer.inside_functions or an_import.depth == "top"


def code_of(text: str) -> str:
    """What is left of a module without comments and docstrings. C that stands in Cython's sources is code."""
    without_docstrings = re.sub(
        r'(extern from [^\n]*:\n *)?"""(.*?)"""', lambda found: found[2] if found[1] else "", text, flags=re.S
    )
    return re.sub(r"#.*|/\*.*?\*/", "", without_docstrings)


def test_every_module_has_a_layer() -> None:
    layers = {layer_of(name) for name in {*MODULES, *COMPILED} if name.count(".")}
    assert layers - {"__main__", *FOR_ALL} == set(LAYERS)


def test_no_file_is_too_long_to_be_kept_in_mind() -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in SOURCES}
    lines = {name: text.count("\n") for name, text in texts.items() if not text.startswith("/* Generated by Cython")}
    assert len(lines) > 200
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_the_way_of_a_byte_is_short_and_leads_where_it_says() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    walk = text.partition("## The way of a byte\n")[2].partition("\n## ")[0]
    assert 20 < len(walk.splitlines()) <= 40
    steps = re.findall(r"^\d+\. `([\w/]+\.py)`, `(\w+)`:", walk, re.MULTILINE)
    assert len(steps) == len(re.findall(r"^\d+\. ", walk, re.MULTILINE)) >= 10
    assert len({name for name, _ in steps}) <= 5
    for name, function in steps:
        assert f"def {function}(" in (ROOT / "wscore" / name).read_text(), f"{name} has no {function}"


@pytest.mark.parametrize("path", [path.relative_to(ROOT).as_posix() for path in IN_LAYERS])
def test_imports_go_down_only(path: str) -> None:
    module = name_of(ROOT / path)
    layer = LAYERS[layer_of(module)]
    assert [found for found in imports_of(ROOT / path) if refused(module, layer, found)] == []


@pytest.mark.parametrize("path", [path.relative_to(ROOT).as_posix() for path in IN_TRANSPORT])
def test_no_rule_of_rfc_6455_stands_in_the_transport(path: str) -> None:
    imported = imports_of(ROOT / path)
    assert [found for found in imported if target_of(found) in RULES or found.name in NAMES_OF_RULES] == []
    assert TRACES_OF_RULES.findall(code_of((ROOT / path).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("if first & 0x80 and length == 0x7E:", ["0x80", "0x7E"]),
        ("opcode = first & 0x0F", ["opcode", "0x0F"]),
        ('if headers["Sec-WebSocket-Key"]:  # 1001', ["Sec-WebSocket"]),
        ("self._fail(1002, 'a reserved bit')", ["1002"]),
        ("if code == 1005:", ["1005"]),
        ('logger.error("it is closed with 1011")', []),
        ('cdef extern from *:\n    """\n    byte ^= mask[at];\n    """', ["mask"]),
        ('"""Closes with 1009."""\nself._fail(CloseCode.ABNORMAL, "")  # 1006', []),
    ],
)
def test_rules_are_known_by_their_traces(line: str, rule: list[str]) -> None:
    assert TRACES_OF_RULES.findall(code_of(line)) == rule


def test_package_itself_imports_only_its_version_by_itself() -> None:
    loaded = [found.module for found in imports_of(MODULES["wscore"]) if found.depth == "top"]
    assert [name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names] == ["wscore._version"]


def test_only_the_switch_chooses_between_the_twins() -> None:
    choosers = {
        module
        for module, path in MODULES.items()
        if not module.startswith(TWINS) and any(target_of(found).startswith(TWINS) for found in imports_of(path))
    }
    assert choosers == {SWITCH}


@pytest.mark.parametrize(("twin", "other"), [TWINS, TWINS[::-1]])
def test_neither_twin_imports_the_other(twin: str, other: str) -> None:
    paths = [path for module, path in {**MODULES, **COMPILED}.items() if module.startswith(twin)]
    assert [found for path in paths for found in imports_of(path) if target_of(found).startswith(other)] == []


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {
        module: {target_of(found) for found in imports_of(path) if found.depth == "top"} & MODULES.keys() - {module}
        for module, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) >= len(MODULES)


@pytest.mark.parametrize("pure", ["1", ""])
def test_the_codec_loads_nothing_that_takes_longer_than_itself(pure: str) -> None:
    """Run without `site`, through which other packages that are installed may load anything."""
    program = "import sys; import wscore.codec; print(*{'typing', 're', 'contextlib', 'inspect'} & set(sys.modules))"
    env = {"PYTHONPATH": str(ROOT), "WSCORE_PURE": pure}
    command = [sys.executable, "-S", "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | env)
    assert run.stdout.strip() == ""


@pytest.mark.parametrize(
    "statement",
    [
        "import wscore",
        "import wscore.codec",
        "import wscore.protocol.handshake",
        "from wscore import Connection, SERVER; Connection(SERVER, compression='dedicated').send('hello')",
        "from wscore import Accept, Handshake, Headers, prepare",
        "import wscore.adapters.asyncio",
    ],
)
def test_codec_protocol_and_the_adapter_for_asyncio_load_no_third_party_package(statement: str) -> None:
    program = f"import sys; before = set(sys.modules); {statement}; print(*set(sys.modules) - before)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    packages = {name.split(".")[0] for name in run.stdout.split()}
    # Compiled modules register helpers that Cython shares between them; no package stands behind these.
    strangers = {name for name in packages - sys.stdlib_module_names if not re.match("_?cython_", name)}
    assert strangers == {"wscore"}
