"""The documentation names no option, keyword, metric or limit that does not exist, and no limit that is another."""

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import wscore
from wscore.cli import options
from wscore.server import auth, metrics

from .pages import DOCS, PAGES, Block, all_blocks, blocks_of

# Whose keywords are other libraries', too.
EMBEDDING = DOCS / "embedding"
# Of programs that are not ours.
FOREIGN_FLAGS = {"--group"}
UNITS = {"MiB": 1 << 20, "KiB": 1 << 10, "s": 1, "": 1}
# Characters of code, as the theme has it.
WIDTH = 92
# What no number can say is explained where it is computed.
COMPUTED = {"max_connections"}


def spans(page: Path) -> list[str]:
    """What stands between single backticks, outside of blocks of code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.findall(r"`([^`\n]+)`", text)


def flags() -> set[str]:
    known = [*options.SERVE, *options.CONNECT, *options.BENCH]
    names = {option.flag for option in known}
    return names | {f"--no-{option.name}" for option in known if option.parse is None} | {"--version", "--help"}


def keywords(functions: Iterable[Callable[..., object]]) -> set[str]:
    return {name for function in functions for name in inspect.signature(function).parameters}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_in_prose_exists(page: Path) -> None:
    named = {flag for span in spans(page) for flag in re.findall(r"(?<!\w)--[a-z][a-z-]+(?<!-)", span)}
    assert sorted(named - flags() - FOREIGN_FLAGS) == []


@pytest.mark.parametrize(
    "block", [block for block in all_blocks("sh") if "wscore" in block.code], ids=lambda block: block.name
)
def test_every_flag_of_a_command_exists(block: Block) -> None:
    commands = re.findall(r"^(?:\S*/)?wscore ((?:serve|connect|bench)\b.*)", block.code, re.M)
    named = {flag for command in commands for flag in re.findall(r"(?<!\S)--[a-z][a-z-]+", command)}
    assert sorted(named - flags()) == []


def test_every_key_of_the_configuration_that_the_deployment_names_exists() -> None:
    page = DOCS / "deployment.md"
    known = {option.name for option in options.SERVE}
    keys = {span.partition(" ")[0] for span in spans(page) if re.fullmatch(r"[a-z]+(-[a-z]+)+( = .*)?", span)}
    assert keys
    assert sorted(keys - known - {"systemd-analyze"}) == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name != "embedding"], ids=lambda page: page.name
)
def test_every_keyword_in_prose_exists(page: Path) -> None:
    functions = [wscore.serve, wscore.connect, wscore.Connection, wscore.WebSocket.send, wscore.Server.aclose]
    functions += [wscore.Accept, auth.bearer_auth]
    named = {name for span in spans(page) for name in re.findall(r"\b([a-z_]+)=", span)}
    assert sorted(named - keywords(functions) - {"cafile"}) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_metric_in_prose_exists(page: Path) -> None:
    known = {metric.name for metric in metrics._METRICS}
    named = {span for span in spans(page) if re.fullmatch(r"wscore_\w+", span)}
    assert sorted(name for name in named if name.removesuffix("_total") not in known) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_public_name_in_prose_exists(page: Path) -> None:
    for span in spans(page):
        if match := re.fullmatch(r"wscore\.(\w+)(?:\.(\w+))?(?:\(.*\))?", span):
            found = getattr(wscore, match[1], None) or __import__(f"wscore.{match[1]}")
            assert match[2] is None or match[1] in ("server", "codec", "adapters") or hasattr(found, match[2]), span


# Limits


def rows_of_limits() -> list[tuple[str, str]]:
    table = (DOCS / "reference" / "limits.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.M)


@pytest.mark.parametrize(("parameter", "default"), rows_of_limits())
def test_limits_are_what_the_table_says(parameter: str, default: str) -> None:
    actual = inspect.signature(wscore.serve).parameters[parameter].default
    if parameter in COMPUTED or default == "off":
        assert actual is None
        return
    number, _, unit = default.replace(",", "").partition(" ")
    assert actual == int(number) * UNITS[unit]


def test_every_limit_is_in_the_table() -> None:
    endings = ("timeout", "interval", "rate", "rate_per_address")
    names = [
        name for name in inspect.signature(wscore.serve).parameters if name.startswith("max") or name.endswith(endings)
    ]
    assert sorted(names) == sorted(parameter for parameter, _ in rows_of_limits())


# Form


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_line_of_code_is_cut_off_by_the_edge_of_the_page(page: Path) -> None:
    programs = [block.code for block in blocks_of(page) if block.language != "text"]
    assert [line for code in programs for line in code.splitlines() if len(line) > WIDTH] == []
