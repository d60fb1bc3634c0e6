"""What the scripts in .ci/ do around the suites: steps, their order, and what is said of them in the end."""

import importlib.machinery
import importlib.util
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

import wscore

ROOT = Path(__file__).parent.parent
CI = ROOT / ".ci"
if not (CI / "run").exists():
    pytest.skip("the scripts are not here", allow_module_level=True)

PASSES, FAILS = (sys.executable, "-c", ""), (sys.executable, "-c", "raise SystemExit(3)")


@pytest.fixture(scope="module")
def long() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("long_suites", str(CI / "long"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def test_a_long_step_that_fails_keeps_no_other_from_running(
    long: ModuleType, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    last = (sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert long.run_all({"good": PASSES, "bad": FAILS, "absent": ("/no/such/program",), "last": last}) == 1
    assert (tmp_path / "ran").exists()
    said = capfd.readouterr().out
    assert said.endswith("failed: bad, absent\n")
    rows = re.findall(r"^ +\d+  (\S+) *(FAILED)?$", said, re.M)
    assert rows == [("good", ""), ("bad", "FAILED"), ("absent", "FAILED"), ("last", "")]


def test_long_steps_that_all_pass_are_a_success(long: ModuleType) -> None:
    assert long.run_all({"good": PASSES}) == 0


def test_every_long_step_has_its_program(long: ModuleType) -> None:
    names = [each for command in long.STEPS.values() for each in command if each.startswith((".ci/", "tests/"))]
    assert [name for name in names if not (ROOT / name).exists()] == []
    assert {"autobahn", "foreign", "attack", "wheels", "clean-machines", "sanitizers"} <= set(long.STEPS)


def test_an_unknown_long_step_is_an_error() -> None:
    run = subprocess.run([sys.executable, CI / "long", "--only", "nothing"], capture_output=True, text=True)
    assert run.returncode == 2
    assert "invalid choice: 'nothing'" in run.stderr


def bash(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    text = f"set -euo pipefail; work={folder}; source {CI / 'steps'}\n{program}"
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
def test_a_step_that_was_started_is_finished_and_both_are_in_the_table(tmp_path: Path) -> None:
    run = bash("start aside echo waiting\nstep first echo working\nfinish aside\ntable", tmp_path)
    assert run.returncode == 0, run.stderr
    assert re.findall(r"^ +\d+  (.*)$", run.stdout, re.M) == ["first", "aside (beside others)"]
    assert run.stdout.index("working") < run.stdout.index("waiting")


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
@pytest.mark.parametrize("program", ["fails() { false; echo on; }; step bad fails", "start bad false\nfinish bad"])
def test_a_step_that_fails_ends_the_script(tmp_path: Path, program: str) -> None:
    run = bash(f"{program}\necho later", tmp_path)
    assert run.returncode == 1
    assert "later" not in run.stdout
    assert "on\n" not in run.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
def test_what_was_started_ends_with_the_script(tmp_path: Path) -> None:
    begun = time.monotonic()
    run = bash("trap end_all EXIT\nstart aside sleep 50\nstep bad false", tmp_path)
    assert run.returncode == 1
    assert time.monotonic() - begun < 50


# What is published


RELEASE = ROOT / ".github" / "workflows" / "release.yml"


def requirements(name: str) -> list[str]:
    lines = (CI / name).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", ["tools.txt", "build.txt", "cibuildwheel.txt", "zlib-ng.txt"])
def test_what_builds_a_release_is_pinned_by_hash(name: str) -> None:
    assert requirements(name)
    pinned = re.compile(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}")
    assert [line for line in requirements(name) if not pinned.match(line)] == []


@pytest.mark.parametrize("name", ["tools", "build", "cibuildwheel"])
def test_the_hashes_are_of_the_versions_that_were_chosen(name: str) -> None:
    chosen = {re.sub(r"\[.*\]", "", line).lower() for line in requirements(f"{name}.in")}
    assert chosen <= {line.split()[0].lower() for line in requirements(f"{name}.txt")}


def test_the_workflow_of_releases_uses_nothing_that_may_change() -> None:
    text = RELEASE.read_text(encoding="utf-8")
    actions, images = re.findall(r"uses: (\S+)", text), re.findall(r"^ +image: (\S+)", text, re.M)
    assert actions
    assert images
    assert [each for each in actions if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each)] == []
    assert [each for each in images if not re.search(r"@sha256:[0-9a-f]{64}$", each)] == []
    assert [line for line in text.splitlines() if "pip install -r" in line] == []
    assert set(re.findall(r"\bcache\S*: ?\S+", text)) == {"cache-image: false"}


def script_of(step: str) -> str:
    found = re.search(rf"- name: {step}\n(?:        if: .*\n)?        run: (.*)\n", RELEASE.read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
@pytest.mark.parametrize(
    ("tag", "counts"),
    [(f"v{wscore.__version__}", True), ("v", False), (f"v{wscore.__version__}0", False), (wscore.__version__, False)],
)
def test_only_a_tag_that_is_the_version_is_published(tag: str, counts: bool) -> None:
    command = ["bash", "-e", "-c", script_of("The tag is the version")]
    run = subprocess.run(command, cwd=ROOT, env=os.environ | {"GITHUB_REF_NAME": tag}, timeout=60)
    assert (run.returncode == 0) == counts


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
@pytest.mark.parametrize(("place", "counts"), [("https://wscore.example/wscore", False), ("https://a.org/b", True)])
def test_nothing_is_published_with_addresses_that_are_nobodys(tmp_path: Path, place: str, counts: bool) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[project.urls]\nSource = "{place}"\n')
    command = ["bash", "-e", "-c", script_of("The project has an address of its own")]
    assert (subprocess.run(command, cwd=tmp_path, timeout=60).returncode == 0) == counts


def test_every_job_is_behind_the_gate() -> None:
    for path in RELEASE.parent.glob("*.yml"):
        jobs = re.findall(r"^  (\w+):$", path.read_text(encoding="utf-8").partition("\njobs:\n")[2], re.M)
        gate = re.search(r"gate:.*?needs: \[(.*?)\]", path.read_text(encoding="utf-8"), re.S)
        assert gate is not None
        assert set(gate[1].split(", ")) == set(jobs) - {"gate", "publish"}
