"""Build zlib-ng, as a static library in the place of zlib, into a folder for `WSCORE_ZLIB_NG`.

    python .ci/zlib_ng.py build/zlib-ng && WSCORE_ZLIB_NG=build/zlib-ng pip install -e .

Needs pip, CMake and a C compiler. The sources are those inside the source distribution of Python's binding `zlib-ng`,
which pip fetches and checks against the digest in .ci/zlib-ng.txt; `--sources` takes them from a folder instead.

Decides how zlib-ng is compiled: for many compressors of small messages, see `HASH_SIZE`. Beside the library stands a
bill of materials (CycloneDX), which setup.py puts into wheels: what the library is, and the digest of its sources.
"""

import argparse
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PINNED = Path(__file__).with_name("zlib-ng.txt")

# Entries of 2 bytes in the hash table of a compressor. zlib-ng's own 65,536 are cleared whenever a compressor starts
# anew, which costs as much as compressing 120 bytes, and take three quarters of its memory. With 8,192 the output grows
# by 1 %, and by no more in messages of 30 KB.
HASH_SIZE = 8192

OPTIONS = {
    "CMAKE_BUILD_TYPE": "Release",
    "CMAKE_C_FLAGS": f"-DHASH_SIZE={HASH_SIZE}u",
    "CMAKE_C_VISIBILITY_PRESET": "hidden",
    "CMAKE_INSTALL_LIBDIR": "lib",
    "CMAKE_POSITION_INDEPENDENT_CODE": "ON",
    "BUILD_SHARED_LIBS": "OFF",
    "BUILD_TESTING": "OFF",
    "WITH_GZFILEOP": "OFF",
    "ZLIB_COMPAT": "ON",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Build zlib-ng for WSCORE_ZLIB_NG.")
    parser.add_argument("prefix", type=Path, help="the folder to install into")
    parser.add_argument("--sources", type=Path, help="zlib-ng's sources, instead of those that pip fetches")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        build(arguments.sources or fetched(Path(work)), Path(work), arguments.prefix.absolute())
    write_bill(arguments.prefix, pinned() if arguments.sources is None else None)
    print(f"WSCORE_ZLIB_NG={arguments.prefix}")


def fetched(work: Path) -> Path:
    """Zlib-ng's sources, unpacked below `work`."""
    command = ["download", "--quiet", "--no-deps", "--no-binary=:all:", "--require-hashes", "-r", str(PINNED)]
    subprocess.run([sys.executable, "-m", "pip", *command, "-d", str(work)], check=True)
    (archive,) = work.glob("*.tar.gz")
    with tarfile.open(archive) as unpacked:
        unpacked.extractall(work, filter="data")
    (sources,) = work.glob("*/src/zlib_ng/zlib-ng")
    return sources


def build(sources: Path, work: Path, prefix: Path) -> None:
    let_level_9_use_a_small_table(sources / "insert_string_roll.c")
    options = [f"-D{name}={value}" for name, value in {**OPTIONS, "CMAKE_INSTALL_PREFIX": prefix}.items()]
    tree = str(work / "build")
    subprocess.run(["cmake", "-S", str(sources), "-B", tree, *options], check=True)
    subprocess.run(["cmake", "--build", tree, "--config", "Release", "--parallel"], check=True)
    subprocess.run(["cmake", "--install", tree, "--config", "Release"], check=True)


def let_level_9_use_a_small_table(path: Path) -> None:
    """Level 9 has a hash of its own, which takes the table for one of 32,768 entries."""
    text, count = re.subn(r"(#define HASH_CALC_MASK +)\(32768u - 1u\)", r"\1(HASH_MASK & 32767u)", path.read_text())
    if count != 1 and "HASH_MASK & 32767u" not in text:
        raise SystemExit(f"{path.name} is not what it was: see what a hash table of {HASH_SIZE} entries does to it")
    path.write_text(text)


def pinned() -> dict[str, object]:
    """Where the sources come from, and the digest that pip has checked them against."""
    found = re.search(r"^(zlib-ng)==(\S+) --hash=sha256:(\w{64})$", PINNED.read_text(), re.M)
    assert found is not None
    name, version, digest = found.groups()
    hashes = [{"alg": "SHA-256", "content": digest}]
    return {"type": "source-distribution", "url": f"pkg:pypi/{name}@{version}", "hashes": hashes}


def write_bill(prefix: Path, origin: dict[str, object] | None) -> None:
    """Say what has been built: the version is that of the header which was installed."""
    found = re.search(r'#define ZLIBNG_VERSION "(.+)"', (prefix / "include" / "zlib.h").read_text())
    assert found is not None
    library = {
        "type": "library",
        "bom-ref": "zlib-ng",
        "name": "zlib-ng",
        "version": found[1],
        "licenses": [{"license": {"id": "Zlib"}}],
        "purl": f"pkg:github/zlib-ng/zlib-ng@{found[1]}",
        "pedigree": {"notes": f"compiled with HASH_SIZE={HASH_SIZE}; level 9 uses no larger table"},
        "externalReferences": [origin] if origin else [],
    }
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [library]}
    folder = prefix / "share" / "sbom"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "zlib-ng.cdx.json").write_text(json.dumps(bill, indent=2) + "\n")


if __name__ == "__main__":
    main()
