"""The compiled codec and its pure twin are one: the same names, and for the same input the same output and errors.

What either does right stands in tests/codec; here it only matters that both do the same.
"""

import ast
import importlib
import importlib.util
import inspect
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wscore
from wscore.codec import CLIENT, SERVER, DefectError, Role, Stop

from .streams import (
    BROKEN_TEXTS,
    CONTROLS,
    FINAL_BLOCKS,
    LARGE,
    PAYLOADS,
    RSV1,
    TAIL,
    TEXTS,
    Compressor,
    chunks,
    cut,
    damage,
    streams,
)
from .wire import CONTINUATION, KEY, Frame, decode, encode

HOME = Path(wscore.__file__).parent / "codec"
MODULES = sorted(path.stem for path in HOME.glob("pure/[!_]*.py"))


def load(twin: str) -> SimpleNamespace:
    modules = [importlib.import_module(f"wscore.codec.{twin}.{name}") for name in MODULES]
    return SimpleNamespace(**{name: getattr(module, name) for module in modules for name in module.__all__})


@pytest.fixture(scope="module")
def twins() -> tuple[SimpleNamespace, SimpleNamespace]:
    return load("pure"), load("native")


# Names and signatures


def public(path: Path) -> dict[str, str]:
    """Every public name of a module, and its signature: functions, classes, their methods and attributes."""
    names = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            names[node.name] = signature(node)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{name}": what for name, what in members(node).items()}
    listed = importlib.import_module("wscore.codec.pure." + path.stem).__all__
    return {name: what for name, what in names.items() if name.partition(".")[0] in listed} | {"__all__": str(listed)}


def members(node: ast.ClassDef) -> dict[str, str]:
    names = {}
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and (not member.name.startswith("_") or member.name.startswith("__")):
            names[member.name] = "attribute" if member.decorator_list else signature(member)
    for target in (each for each in ast.walk(node) if isinstance(each, ast.Attribute)):
        if isinstance(target.ctx, ast.Store) and not target.attr.startswith("_"):
            names[target.attr] = "attribute"
    return names


def signature(node: ast.FunctionDef) -> str:
    return f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns) if node.returns else None}"


@pytest.mark.parametrize("module", MODULES)
def test_the_stubs_of_the_compiled_twin_say_what_the_pure_one_says(module):
    assert public(HOME / "native" / f"{module}.pyi") == public(HOME / "pure" / f"{module}.py")


@pytest.mark.native
@pytest.mark.parametrize("module", MODULES)
def test_the_compiled_twin_has_what_its_stubs_say(module):
    native = importlib.import_module(f"wscore.codec.native.{module}")
    pure = importlib.import_module(f"wscore.codec.pure.{module}")
    assert sorted(native.__all__) == sorted(pure.__all__)
    for name in public(HOME / "native" / f"{module}.pyi"):
        owner, _, member = name.partition(".")
        assert hasattr(getattr(native, owner), member or "__doc__"), name
    for name in pure.__all__:
        compiled = getattr(native, name)
        extra = {each for each in dir(compiled) if not each.startswith("_")} if inspect.isclass(compiled) else set()
        assert extra <= set(dir(getattr(pure, name))), f"{name} has what its twin has not"
        assert inspect.getdoc(compiled), f"{name} is not documented"


@pytest.mark.native
@pytest.mark.parametrize("name", ["mask", "mask_inplace", "new_mask_key", "is_valid_utf8", "encode_frame"])
def test_functions_take_the_same_arguments_at_run_time(twins, name):
    pure, native = (inspect.signature(getattr(twin, name)).parameters.values() for twin in twins)
    assert [(each.name, each.kind, each.default) for each in native] == [
        (each.name, each.kind, each.default) for each in pure
    ]


# Functions


def outcome(function, *args, **kwargs):
    """What a call returns, or the error that it raises."""
    try:
        return function(*args, **kwargs)
    except DefectError as error:
        return error.defect
    except Exception as error:
        return type(error).__name__, "" if isinstance(error, TypeError) else str(error)


@pytest.mark.native
@given(PAYLOADS, st.binary(min_size=3, max_size=5), st.integers(-(1 << 40), 1 << 40), st.integers(0, 40))
def test_masking_is_the_same(twins, data, key, offset, start):
    results = []
    for twin in twins:
        buffer = bytearray(data)
        result = outcome(twin.mask_inplace, memoryview(buffer)[start:], key, offset)
        results.append((outcome(twin.mask, data[start:], key, offset), result, buffer))
    assert results[0] == results[1]


@pytest.mark.native
@given(st.data())
def test_validating_is_the_same(twins, data):
    text = data.draw(TEXTS) + data.draw(BROKEN_TEXTS | TEXTS)
    if data.draw(st.booleans()):
        text = damage(data.draw, text)
    parts = cut(data.draw, text, 5)
    pure, native = (twin.Utf8Validator() for twin in twins)
    for part in parts:
        assert native.validate(part) is pure.validate(part)
        assert native.complete() is pure.complete()
    assert twins[0].is_valid_utf8(text) is twins[1].is_valid_utf8(text)


@pytest.mark.native
@given(
    st.integers(-1, 17),
    PAYLOADS | st.text(),
    st.booleans(),
    st.booleans(),
    st.none() | st.binary(min_size=4, max_size=4) | st.binary(max_size=5),
)
def test_building_a_frame_is_the_same(twins, opcode, payload, fin, rsv1, key):
    pure, native = (outcome(twin.encode_frame, opcode, payload, fin=fin, rsv1=rsv1, key=key) for twin in twins)
    assert native == pure


# Reader


def trace(reader, parts: list[bytes], budget: int | None, awaited: list[bytes] | None, discards_from: int) -> list:
    """Everything that can be seen of a reader while it reads."""
    seen: list = []
    if awaited is not None:
        reader.expect_pongs(awaited)
    for number, part in enumerate(parts):
        offset, before = 0, -1
        if number == discards_from:
            reader.discard_messages()
        while offset != before:
            out: list = []
            before, offset = offset, reader.read(part, out, budget, offset)
            control = reader.control if reader.stop is Stop.CONTROL else None
            state = (reader.stop, control, reader.defect, reader.spent, reader.in_message, reader.kept)
            seen.append((offset, repr(out), [getattr(each, "ends_frame", None) for each in out], *state))
            if reader.stop is Stop.NEED_DATA or reader.stop is Stop.DEFECT:
                break
        seen.append((reader.controls, reader.pings_size))
        if number % 2:
            seen.append(reader.take_pings())
    return seen


def read_by_both(twins, data: st.DataObject, role: Role, *, window_bits: int | None, damaged: bool) -> None:
    takeover = data.draw(st.booleans())
    options = {
        "max_message_size": data.draw(st.sampled_from([1 << 20, 1 << 20, 1 << 40, 65536, 1000, 125, 10, 1])),
        "max_fragments": data.draw(st.sampled_from([4096, 4096, 3, 2, 1])),
        "pieces": data.draw(st.booleans()),
        "frames": data.draw(st.booleans()),
    }
    budget = data.draw(st.sampled_from([None, None, 0, 1, 70, 1000, 100_000]))
    stream = data.draw(streams(role, window_bits=window_bits, context_takeover=takeover, damaged=damaged))
    parts = data.draw(chunks(stream))
    awaited = data.draw(st.sampled_from([None, None, [], [bytes(125), b"", b"\x00"]]))
    discards_from = data.draw(st.sampled_from([-1, -1, -1, 0, 1, 2]))
    traces = []
    for twin in twins:
        inflater = None if window_bits is None else twin.Inflater(window_bits, context_takeover=takeover)
        traces.append(trace(twin.Reader(role, inflater=inflater, **options), parts, budget, awaited, discards_from))
    assert traces[0] == traces[1]


ROLES = pytest.mark.parametrize("role", [SERVER, CLIENT], ids=lambda role: role.value)


@pytest.mark.native
@ROLES
@given(st.data())
@settings(max_examples=200)
def test_reading_is_the_same(twins, role, data):
    read_by_both(twins, data, role, window_bits=None, damaged=True)


@pytest.mark.native
@ROLES
@given(st.data())
@settings(max_examples=200)
def test_reading_compressed_messages_is_the_same(twins, role, data):
    read_by_both(twins, data, role, window_bits=data.draw(st.integers(9, 15)), damaged=False)


@pytest.mark.native
@ROLES
@given(st.data())
@settings(max_examples=200)
def test_reading_damaged_compressed_messages_is_the_same(twins, role, data):
    read_by_both(twins, data, role, window_bits=15, damaged=True)


# Deflate


@pytest.mark.native
@given(st.data())
@settings(max_examples=200)
def test_inflating_is_the_same(twins, data):
    """Up to a defect, or to output that was cut: what is behind it is lost in either."""
    compressor = Compressor(15, data.draw(st.booleans()))
    inflaters = [twin.Inflater(context_takeover=compressor.context_takeover) for twin in twins]
    for _ in range(data.draw(st.integers(1, 4))):
        payloads = compressor.compress(cut(data.draw, data.draw(PAYLOADS), 3), data.draw(FINAL_BLOCKS))
        if data.draw(st.integers(0, 3)) == 0:
            payloads[-1] = damage(data.draw, payloads[-1])
        most = data.draw(st.sampled_from([1 << 20, 1 << 20, 65536, 100, 1, 0]))
        for payload in [*cut(data.draw, b"".join(payloads), 4), None]:
            pure, native = (
                outcome(inflater.finish, most) if payload is None else outcome(inflater.inflate, payload, most)
                for inflater in inflaters
            )
            assert native == pure
            if not isinstance(pure, bytes) or len(pure) == most:
                return


@pytest.mark.native
@given(st.data())
def test_what_deflaters_write_inflates_to_the_same(twins, data):
    bits, count, pooled = data.draw(st.integers(9, 15)), data.draw(st.integers(1, 3)), data.draw(st.booleans())
    options = {"context_takeover": data.draw(st.booleans()), "level": data.draw(st.integers(0, 9))}
    pools = [twin.DeflatePool(2) if pooled else None for twin in twins]
    deflaters = [
        [twin.Deflater(bits, pool=pool, **options) for _ in range(count)]
        for twin, pool in zip(twins, pools, strict=True)
    ]
    inflaters = [[zlib.decompressobj(-bits) for _ in range(count)] for _ in twins]
    for _ in range(data.draw(st.integers(1, 8))):
        who = data.draw(st.integers(0, count - 1))
        payload, final, drop = data.draw(PAYLOADS), data.draw(st.booleans()), data.draw(st.booleans())
        for each, peers in zip(deflaters, inflaters, strict=True):
            output = each[who].deflate(payload, final)
            assert peers[who].decompress(output + (TAIL if final else b"")) == payload
            if drop:
                each[who].drop()
        if pooled:
            assert len(pools[0]) == len(pools[1])


# Writer

MESSAGES = st.text(max_size=30) | st.binary(max_size=30) | LARGE | st.sampled_from(["\ud800", 5, None, "ok\udfff"])
FRAGMENTS = st.text(max_size=9) | st.binary(max_size=9) | st.sampled_from(["\ud800", 5])
CONTROL_PAYLOADS = st.binary(max_size=9) | st.sampled_from([bytes(125), bytes(126), "text"])
CHOICES = st.sampled_from([None, True, False])

CALLS = st.one_of(
    st.tuples(st.just("write"), MESSAGES, CHOICES),
    st.tuples(st.just("write_fragment"), FRAGMENTS, st.booleans(), CHOICES),
    st.tuples(st.just("write_control"), st.integers(0, 15), CONTROL_PAYLOADS),
    st.tuples(st.just("write_raw"), CONTROLS),
    st.sampled_from([("take",), ("take_buffers",)]),
)


def seen(frames: list[Frame]) -> list:
    """Frames without their keys, and what was compressed by what it says."""
    inflater = zlib.decompressobj(-15)
    compressed = False
    result = []
    for frame in frames:
        payload = frame.payload
        if frame.opcode < 8:
            compressed = frame.rsv == RSV1 if frame.opcode != CONTINUATION else compressed
            if compressed:
                payload = inflater.decompress(payload + (TAIL if frame.fin else b""))
        result.append((frame.opcode, payload, frame.fin, frame.rsv, frame.key is not None))
    return result


def write_all(twin, role: Role, calls: list[tuple], threshold: int | None, takeover: bool) -> tuple[list, object]:
    """What each call does, and the output: as it is if it is determined, else what it says."""
    deflater = None if threshold is None else twin.Deflater(context_takeover=takeover)
    writer = twin.Writer(role, deflater=deflater, compression_threshold=threshold or 0)
    steps, output = [], b""
    for name, *arguments in calls:
        if name == "write_raw":
            arguments = [encode(Frame(arguments[0].opcode, arguments[0].payload, key=KEY if role is CLIENT else None))]
        result = outcome(getattr(writer, name), *arguments)
        if name in ("take", "take_buffers"):
            output += b"".join(result) if isinstance(result, list) else result
            result = None
        steps.append((name, result, writer.pending if threshold is None else None, writer.in_message))
    output += writer.take()
    return steps, output if threshold is None and role is SERVER else seen(decode(output))


@pytest.mark.native
@ROLES
@given(st.lists(CALLS, max_size=10), st.sampled_from([None, 0, 20]), st.booleans())
@settings(max_examples=200)
def test_writing_is_the_same(twins, role, calls, threshold, takeover):
    pure, native = (write_all(twin, role, calls, threshold, takeover) for twin in twins)
    assert native == pure


# Connection


def protocol_of(package: str) -> SimpleNamespace:
    """The protocol layer of a package, and the two roles as it knows them."""
    codec = importlib.import_module(f"{package}.codec")
    homes = {"connection": "Connection", "prepared": "prepare", "extensions": "DeflateParameters"}
    names = {name: getattr(importlib.import_module(f"{package}.protocol.{home}"), name) for home, name in homes.items()}
    roles = {role.value: role for role in codec.Role}
    return SimpleNamespace(**names, implementation=codec.IMPLEMENTATION, roles=roles)


@pytest.fixture(scope="module")
def protocols() -> Iterator[tuple[SimpleNamespace, SimpleNamespace]]:
    """wscore on the pure twin, loaded as a package of another name, and wscore as it is: on the compiled one."""
    spec = importlib.util.spec_from_file_location(
        "wscore_pure", wscore.__file__, submodule_search_locations=list(wscore.__path__)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WSCORE_PURE", "1")
        package = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "wscore_pure", package)
        spec.loader.exec_module(package)
        pure, native = protocol_of("wscore_pure"), protocol_of("wscore")
        assert (pure.implementation, native.implementation) == ("pure", "native")
        yield pure, native
    for name in [name for name in sys.modules if name.startswith("wscore_pure.")]:
        del sys.modules[name]


CLOSE_CODES = st.sampled_from([1000, 1001, 3000, 4999, 1005, 999, None])
REASONS = st.sampled_from(["", "bye", "é" * 61, "é" * 62, "\ud800", 5])
CONNECTION_CALLS = st.one_of(
    st.tuples(st.just("send"), MESSAGES, CHOICES),
    st.tuples(st.just("send prepared"), MESSAGES, CHOICES),
    st.tuples(st.just("send_fragment"), FRAGMENTS, st.booleans(), CHOICES),
    st.tuples(st.sampled_from(["ping", "pong"]), CONTROL_PAYLOADS),
    st.sampled_from([("take",), ("take_buffers",)]),
)
LAST_CALLS = st.one_of(
    st.tuples(st.sampled_from(["close", "fail"]), CLOSE_CODES, REASONS),
    st.just(("receive_eof",)),
)
OPTIONS = st.fixed_dictionaries(
    {
        "max_message_size": st.sampled_from([1 << 20, 1 << 20, 65536, 100, 1]),
        "max_fragments": st.sampled_from([4096, 4096, 2]),
        "pieces": st.booleans(),
        "auto_pong": st.booleans(),
        "auto_close": st.booleans(),
        "compression": st.sampled_from([None, "takeover", "shared", "dedicated"]),
        "compression_threshold": st.sampled_from([None, 0, 10]),
    }
)


@st.composite
def scripts(draw: st.DrawFn, role: Role, options: dict, agreed: dict) -> list[tuple]:
    """What happens to a connection: what comes from the peer, cut into parts, and calls in between."""
    peer = "client" if role is SERVER else "server"
    bits = agreed[f"{peer}_max_window_bits"] if options["compression"] else None
    takeover = not agreed[f"{peer}_no_context_takeover"]
    # Python's zlib and zlib's C interface may see damage to a small window differently: `inflate` only looks at what
    # it still has.
    damaged = bits in (None, 15)
    parts = draw(chunks(draw(streams(role, window_bits=bits, context_takeover=takeover, closes=True, damaged=damaged))))
    calls = draw(st.lists(CONNECTION_CALLS, max_size=8))
    if draw(st.booleans()):
        calls.insert(draw(st.integers(0, len(calls))), draw(LAST_CALLS))
    at = 0
    for part in parts:
        at = draw(st.integers(at, len(calls)))
        budget = draw(st.sampled_from([None, None, 1, 1000]))
        calls.insert(at, (draw(st.sampled_from(["receive_data", "buffer_updated"])), part, budget))
        at += 1
    return [*calls, ("receive_eof",)]


def send_prepared(protocol: SimpleNamespace, connection, message: object, compress: bool | None) -> None:
    connection.send(protocol.prepare(message), compress)


def play(protocol: SimpleNamespace, role: Role, options: dict, agreed: dict, script: list[tuple]) -> tuple[list, list]:
    """Everything that can be seen of a connection, step by step, and what its output says."""
    deflate = protocol.DeflateParameters(**agreed) if options["compression"] else None
    connection = protocol.Connection(protocol.roles[role.value], deflate=deflate, **options)
    steps, output = [], b""
    for name, *arguments in script:
        match name:
            case "buffer_updated":
                connection.get_buffer(len(arguments[0]))[: len(arguments[0])] = arguments[0]
                result = connection.buffer_updated(len(arguments[0]), arguments[1])
            case "send prepared":
                result = outcome(send_prepared, protocol, connection, *arguments)
            case "send_fragment":
                result = outcome(connection.send_fragment, arguments[0], fin=arguments[1], compress=arguments[2])
            case "take":
                output += connection.data_to_send()
                result = None
            case "take_buffers":
                output += b"".join(connection.buffers_to_send())
                result = None
            case _:
                result = outcome(getattr(connection, name), *arguments)
        for _ in range(100):
            steps.append((name, repr(result), connection.state.name, repr(connection.close_event), connection.has_rest))
            if not connection.has_rest:
                break
            result = connection.receive_data(b"", 1000)
    return steps, seen(decode(output + connection.data_to_send()))


@pytest.mark.native
@ROLES
@given(st.data())
@settings(max_examples=150)
def test_connections_do_the_same_on_either_twin(protocols, role, data):
    options = data.draw(OPTIONS)
    bits = data.draw(st.sampled_from([15, 15, 15, 12, 9]))
    agreed = {
        "server_no_context_takeover": data.draw(st.booleans()),
        "client_no_context_takeover": data.draw(st.booleans()),
        "server_max_window_bits": bits,
        "client_max_window_bits": bits,
    }
    script = data.draw(scripts(role, options, agreed))
    pure, native = (play(protocol, role, options, agreed, script) for protocol in protocols)
    assert native == pure
