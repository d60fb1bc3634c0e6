"""The unit, the socket and the kernel's settings in the documentation are what systemd and Linux understand."""

import subprocess
import sys
from pathlib import Path

import pytest

from wscore.cli.config import read_config
from wscore.cli.options import SERVE

from .proxying import ROOT, installed, snippet

DEPLOYMENT = ROOT / "docs" / "deployment"
SYSCTL = Path("/proc/sys")


def units(folder: Path) -> list[str]:
    """The service, with a program that is on this machine, and its socket."""
    replacements = {"/srv/chat/.venv/bin/wscore": sys.executable, "WorkingDirectory=/srv/chat": "WorkingDirectory=/"}
    (folder / "chat.service").write_text(snippet("chat.service", replacements), encoding="utf-8")
    (folder / "chat.socket").write_text(snippet("chat.socket", {}), encoding="utf-8")
    return [str(folder / name) for name in ("chat.service", "chat.socket")]


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [installed("systemd-analyze"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    run = analyze("verify", *units(tmp_path))
    assert (run.returncode, run.stderr) == (0, "")


def test_systemd_finds_a_line_that_makes_no_sense(tmp_path: Path) -> None:
    service, _ = units(tmp_path)
    Path(service).write_text(Path(service).read_text(encoding="utf-8").replace("DynamicUser", "DynamicUsr"))
    assert "DynamicUsr" in analyze("verify", service).stderr


def test_little_is_left_open_to_the_service(tmp_path: Path) -> None:
    """By systemd's own measure, from 0 to 10, which without the settings for hardening gives more than 9."""
    service, _ = units(tmp_path)
    run = analyze("security", "--offline=yes", "--threshold=15", service)
    assert run.returncode == 0, run.stdout


@pytest.mark.skipif(not (SYSCTL / "net/core/somaxconn").exists(), reason="needs Linux")
def test_the_kernel_has_every_setting() -> None:
    lines = (DEPLOYMENT / "sysctl.conf").read_text(encoding="utf-8").splitlines()
    names = [line.partition(" = ")[0] for line in lines if line and not line.startswith("#")]
    assert names
    assert [name for name in names if not (SYSCTL / name.replace(".", "/")).exists()] == []


@pytest.mark.parametrize("path", sorted(DEPLOYMENT.glob("*.toml")), ids=lambda path: path.name)
def test_the_configuration_is_understood(path: Path) -> None:
    settings = read_config(str(path), SERVE)
    assert settings["allowed_host"] == ["chat.example.org"]
