"""Look into wheels before anybody installs them: what they say they are must be what they are.

    python .ci/inspect_wheels.py dist/*

Wheels of any system, and source distributions beside them, may be given; what is ELF is read on any machine. Needs what
.ci/tools.txt names. Refuses to know how wheels are built.
"""

import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection

ROOT = Path(__file__).resolve().parent.parent
NAME = "wscore-websockets"
LARGEST = 2 << 20
# Who is measured and talked to in tests is pinned there, and is nothing that a user gets.
PINNED = ("tests/interop/requirements.txt", "benchmarks/requirements.txt")
# This is a loop, on which our own adapter is tested.
NO_RIVALS = {"uvloop"}
# Part of the C library, on glibc and on musl; everything else has to be inside the wheel.
SYSTEM = re.compile(r"lib(c|m|pthread|rt)\.so\.\d+|ld-linux.*|ld64?\.so\.\d|libc\.(musl-\w+\.)?so(\.1)?")


def main() -> None:
    paths = [Path(name) for name in sys.argv[1:]]
    wheels = [path for path in paths if path.suffix == ".whl"]
    findings = [f"{path.name}: {finding}" for path in wheels for finding in findings_in(path)]
    for finding in findings:
        print(finding)
    for program, *arguments in (["check-wheel-contents", *wheels], ["twine", "check", "--strict", *paths]):
        done = subprocess.run([Path(sys.executable).with_name(str(program)), *arguments])
        findings += [f"{program} is not content"] * (done.returncode != 0)
    for path in paths:
        print(f"{path.stat().st_size / 1024:7.0f} KiB  {path.name}")
    sys.exit(1 if findings or not wheels else 0)


def findings_in(path: Path) -> Iterator[str]:
    if path.stat().st_size >= LARGEST:
        yield f"has {path.stat().st_size} bytes, and {LARGEST} is too much"
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        modules = [name for name in names if name.endswith((".so", ".pyd"))]
        if bool(modules) == path.name.endswith("-py3-none-any.whl"):
            yield f"has {len(modules)} compiled modules"
        yield from findings_in_metadata(wheel)
        bills = [name for name in names if "/sboms/" in name and not name.endswith("/")]
        yield from findings_in_bills(wheel, bills, bool(modules))
        for name in modules:
            if name.endswith(".so") and wheel.read(name).startswith(b"\x7fELF"):
                found = findings_in_module(ELFFile(io.BytesIO(wheel.read(name))), promised_glibc(path.name))
                yield from (f"{Path(name).name} {finding}" for finding in found)


def findings_in_metadata(wheel: zipfile.ZipFile) -> Iterator[str]:
    """What pip reads and what the package's page shows: it needs nothing, brings nobody else, and leads somewhere."""
    (path,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(wheel.read(path))
    if metadata["Name"] != NAME:
        yield f"is called {metadata['Name']}"
    for need in metadata.get_all("Requires-Dist") or ():
        if "extra == " not in need:
            yield f"needs {need}"
        if re.split(r"[^\w.-]", need)[0].lower() in rivals():
            yield f"names {need}"
    text = metadata.get_payload(decode=True).decode()
    yield from (f"its page has the link {link}" for link in re.findall(r"\]\(((?!\w+:)[^)]*)\)", text))
    if not metadata.get_all("Project-URL"):
        yield "says nothing of where its sources are"


def rivals() -> set[str]:
    lines = [line for name in PINNED for line in (ROOT / name).read_text(encoding="utf-8").splitlines()]
    return {line.partition("==")[0].lower() for line in lines if "==" in line} - NO_RIVALS


def findings_in_bills(wheel: zipfile.ZipFile, bills: list[str], compiled: bool) -> Iterator[str]:
    """Whoever links a library says so (PEP 770); a pure wheel links none."""
    if (len(bills) == 1) != compiled:
        yield f"has {len(bills)} bills of materials"
    for bill in bills:
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(wheel.read(bill).decode())
        if error is not None:
            yield f"{bill} is no CycloneDX: {error}"


def promised_glibc(name: str) -> tuple[int, int] | None:
    """Return the oldest glibc that the tags of a wheel name."""
    found = [(int(major), int(minor)) for major, minor in re.findall(r"manylinux_(\d+)_(\d+)_", name)]
    return min(found, default=None)


def findings_in_module(elf: ELFFile, promised: tuple[int, int] | None) -> Iterator[str]:
    for section in elf.iter_sections():
        if isinstance(section, DynamicSection):
            for tag in section.iter_tags():
                if tag.entry.d_tag == "DT_NEEDED" and not SYSTEM.fullmatch(tag.needed):
                    yield f"needs {tag.needed}"
                if tag.entry.d_tag in ("DT_RPATH", "DT_RUNPATH"):
                    yield "looks for libraries in a folder of the machine that built it"
        elif isinstance(section, GNUVerNeedSection):
            yield from (f"needs {version}" for version in versions(section) if promised and newer(version, promised))
        elif isinstance(section, SymbolTableSection) and section.name == ".dynsym":
            yield from (f"exports {name}" for name in exported(section) if not name.startswith("PyInit_"))


def versions(section: GNUVerNeedSection) -> Iterator[str]:
    for _, auxiliaries in section.iter_versions():
        yield from (auxiliary.name for auxiliary in auxiliaries)


def newer(version: str, promised: tuple[int, int]) -> bool:
    found = re.fullmatch(r"GLIBC_(\d+)\.(\d+).*", version)
    return found is None or (int(found[1]), int(found[2])) > promised


def exported(section: SymbolTableSection) -> Iterator[str]:
    for symbol in section.iter_symbols():
        visible = symbol.entry.st_info.bind in ("STB_GLOBAL", "STB_WEAK") and symbol.entry.st_shndx != "SHN_UNDEF"
        if visible and symbol.name not in ("_init", "_fini"):
            yield symbol.name


if __name__ == "__main__":
    main()
