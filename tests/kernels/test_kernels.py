"""Each variant of the kernels, by name, against the pure twin; and in C, at the edges of memory."""

import os
import platform
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wscore.codec
from wscore.codec.pure import masking, utf8

pytestmark = pytest.mark.native

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "wscore" / "codec" / "kernels"
KEY = b"\x81\x42\x24\x18"


def names() -> list[str]:
    if wscore.codec.IMPLEMENTATION == "pure":
        return ["scalar"]
    from wscore.codec.native import kernels

    return kernels.available()


@pytest.fixture(params=names())
def kernel(request):
    from wscore.codec.native.kernels import Kernel

    return Kernel(request.param)


def test_masking_agrees_with_the_pure_twin_at_every_length_and_offset(kernel):
    noise = random.Random(1).randbytes(257 + 64)
    for size in range(258):
        for offset in range(64):
            data = bytearray(noise)
            ascii_only = kernel.mask_inplace(memoryview(data)[offset : offset + size], KEY)
            expected = masking.mask(noise[offset : offset + size], KEY)
            assert data[offset : offset + size] == expected
            assert data[:offset] == noise[:offset]
            assert data[offset + size :] == noise[offset + size :]
            assert ascii_only == expected.isascii()


def test_a_character_cut_short_is_found_wherever_it_is(kernel):
    """At the end of a vector, too, in which nothing shows it but what comes next."""
    cuts = [whole[:size] for whole in map(str.encode, "é漢😀") for size in range(1, len(whole))]
    for before in range(200):
        for cut in cuts:
            for behind in (b"", b"x", b"\xe2"):
                assert not kernel.is_valid_utf8(b"x" * before + cut + behind)


TEXTS = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(max_codepoint=0x7F), max_size=300),
    st.text(st.characters(max_codepoint=0xFF), max_size=300),
    st.text(st.characters(min_codepoint=0x400, max_codepoint=0x4FF), max_size=300),
    st.text(st.characters(min_codepoint=0x800, max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=300),
    st.text(st.characters(min_codepoint=0x10000), max_size=300),
    st.lists(st.sampled_from(["plain ascii text ", "é", "Привет ", "日本語", "😀"]), max_size=60).map("".join),
)


@pytest.mark.parametrize("name", names())
@given(text=TEXTS)
def test_text_survives_both_directions(name, text):
    from wscore.codec.native.kernels import Kernel

    kernel = Kernel(name)
    encoded = kernel.encode(text)
    assert encoded == text.encode()
    assert kernel.decode(encoded) == text
    assert kernel.is_valid_utf8(encoded)


@pytest.mark.parametrize("name", names())
@given(text=TEXTS, data=st.data())
def test_wrong_bytes_are_found_wherever_they_stand(name, text, data):
    from wscore.codec.native.kernels import Kernel

    kernel = Kernel(name)
    encoded = bytearray(text.encode())
    position = data.draw(st.integers(0, len(encoded)))
    encoded[position : position + 1] = data.draw(st.binary(max_size=4))
    valid = utf8.is_valid_utf8(encoded)
    split = data.draw(st.integers(0, len(encoded)))
    assert kernel.is_valid_utf8(encoded) == valid
    assert kernel.is_valid_utf8(encoded[:split], encoded[split:]) == valid
    assert kernel.decode(encoded) == (encoded.decode() if valid else None)


@pytest.mark.parametrize("text", ["\ud800", "abc\udfff", "я" * 20 + "\ud9ab" + "я" * 20, "\U0001f600\udc00"])
def test_lone_surrogates_are_not_encoded(kernel, text):
    with pytest.raises(UnicodeEncodeError):
        kernel.encode(text)


def test_an_unknown_kernel_is_refused_with_the_names_that_there_are():
    from wscore.codec.native.kernels import Kernel

    with pytest.raises(ValueError, match=r"there is no kernel 'abacus' here, only .*scalar"):
        Kernel("abacus")


NEEDED = {"avx2": {"avx2"}, "ssse3": {"ssse3"}}


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="Linux lists what x86-64 has")
def test_whatever_the_processor_has_is_found():
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert {name: name in names() for name in NEEDED} == {name: needed <= flags for name, needed in NEEDED.items()}


@pytest.mark.parametrize("name", names())
def test_the_environment_chooses_the_kernel(name):
    environment = {**os.environ, "WSCORE_KERNEL": name}
    code = "import wscore.codec; print(wscore.codec.KERNEL)"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == name


def test_a_wrong_name_in_the_environment_is_told_and_python_takes_over():
    environment = {**os.environ, "WSCORE_KERNEL": "abacus"}
    code = "import wscore.codec; print(wscore.codec.IMPLEMENTATION)"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "pure"
    assert "there is no kernel 'abacus'" in run.stderr


@pytest.mark.compiler
@pytest.mark.checkout
@pytest.mark.parametrize("flags", [["-O3"], ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]])
def test_the_program_in_c_finds_no_difference_at_the_edges_of_memory(tmp_path, flags):
    """Buffers end where the next page cannot be touched; the second run has sanitizers look on."""
    program = compiled(tmp_path, os.environ.get("CC", "cc"), *flags)
    assert found_right([program, "100"]) == names()


# Each has what the others lack: NEON; a byte order from the highest to the lowest.
OTHER_PROCESSORS = {"aarch64": ["neon", "scalar"], "s390x": ["scalar"]}


@pytest.mark.checkout
@pytest.mark.skipif(sys.platform != "linux", reason="qemu emulates programs for Linux")
@pytest.mark.parametrize("processor", OTHER_PROCESSORS)
def test_the_same_holds_on_another_processor_emulated(tmp_path, processor):
    compiler, emulator = f"{processor}-linux-gnu-gcc", f"qemu-{processor}"
    missing = [program for program in (compiler, emulator) if shutil.which(program) is None]
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"not installed: {', '.join(missing)}")
    program = compiled(tmp_path, compiler, "-O3", "-static")
    assert found_right([emulator, program, "5"]) == OTHER_PROCESSORS[processor]


def compiled(folder: Path, compiler: str, *flags: str) -> Path:
    """The program in C that compares every variant with plain code."""
    program = folder / "kernels_test"
    sources = [HERE / "kernels_test.c", *sorted(SOURCES.glob("*.c"))]
    subprocess.run([compiler, *flags, "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-I", SOURCES,
                    "-o", program, *sources], check=True)  # fmt: skip
    return program


def found_right(command: list[str | Path]) -> list[str]:
    """The variants in which it finds no difference; that there is one fails the test."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return [line.removesuffix(": ok") for line in run.stdout.splitlines()]
