"""The names that users may rely on: each is there, documented, and known to type checkers under the same name."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wscore

SOURCE = Path(wscore.__file__).read_text(encoding="utf-8")
# What needs no docstring of its own: constants, and the alias of a union.
VALUES = {"CLIENT", "SERVER", "Event", "__version__"}


def names_for_type_checkers() -> dict[str, str]:
    """Each name that wscore/__init__.py imports under TYPE_CHECKING, with the module it comes from."""
    imports = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.ImportFrom) and node.module]
    return {
        alias.name: node.module
        for node in imports
        for alias in node.names
        if node.module.startswith("wscore.") and alias.name != "__version__"
    }


@pytest.mark.parametrize("name", wscore.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(wscore, name) is not None


@pytest.mark.parametrize("name", sorted(set(wscore.__all__) - VALUES))
def test_every_public_name_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(wscore, name))


@pytest.mark.parametrize("name", sorted(set(wscore.__all__) - VALUES))
def test_every_public_method_is_documented(name: str) -> None:
    methods = vars(getattr(wscore, name)) if inspect.isclass(getattr(wscore, name)) else {}
    public = {key: value for key, value in methods.items() if not key.startswith("_") and callable(value)}
    assert [key for key, value in public.items() if not inspect.getdoc(value)] == []


def test_type_checkers_and_the_interpreter_find_the_same_names_in_the_same_modules() -> None:
    assert names_for_type_checkers() == wscore._HOME_OF
    assert sorted(wscore.__all__) == sorted({*wscore._HOME_OF, "__version__", "codec"})


def test_a_star_import_brings_every_public_name() -> None:
    program = "from wscore import *; import wscore; print(*set(wscore.__all__) - set(globals()))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_dir_lists_names_before_they_are_loaded() -> None:
    program = "import sys, wscore; assert 'trio' not in sys.modules; print(*dir(wscore))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) >= set(wscore.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'sreve'"):
        wscore.sreve  # noqa: B018


def test_the_version_is_one_that_packaging_understands() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", wscore.__version__)


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(wscore.__file__).with_name("py.typed").exists()
