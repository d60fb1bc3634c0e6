"""`compress` and `fin` of a writer are true or false as Python sees them, on both twins and in both roles."""

import pytest

from wscore.codec import CLIENT

from .test_writer import RSV1, Shared, sent


@pytest.mark.parametrize("flag", [0, 1, "", "no", 0.0, [], [0]])
def test_flags_are_true_or_false_as_python_sees_them(wire, flag):
    writer = wire.codec.Writer(wire.role, deflater=wire.codec.Deflater(), compression_threshold=5000)
    for size in (100, 10000):
        writer.write("a" * size, flag)
        writer.write(b"a" * size, flag)
        writer.write_fragment("a" * size, flag, flag)
        writer.write_fragment("a" * size, True, not flag)
        assert writer.compresses(size, flag) is bool(flag)
        text, binary, *fragments = sent(writer, wire)
        assert [text.rsv, binary.rsv, fragments[0].rsv] == [RSV1 if flag else 0] * 3
        assert [fragment.fin for fragment in fragments] == [bool(flag), True]
    writer.write_prepared(Shared(), flag)
    assert wire.codec.write_to_all([writer], Shared(), flag)
    masked = b" masked" if wire.role is CLIENT else b""
    assert writer.take() == b"<%s%s>" % (b"15" if flag else b"None", masked) * 2


def test_a_flag_that_cannot_be_asked_writes_nothing(wire):
    class Undecided:
        def __bool__(self):
            raise ArithmeticError

    writer = wire.codec.Writer(wire.role, deflater=wire.codec.Deflater())
    for call in (
        lambda: writer.write("a", Undecided()),
        lambda: writer.write_fragment("a", True, Undecided()),
        lambda: writer.write_fragment("a", Undecided()),
        lambda: writer.write_prepared(Shared(), Undecided()),
    ):
        with pytest.raises(ArithmeticError):
            call()
    assert writer.take() == b""
    assert not writer.in_message
