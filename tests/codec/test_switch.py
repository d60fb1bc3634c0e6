"""The switch between the twins, `wscore/codec/__init__.py`, with stand-ins for what a build leaves behind.

Each test executes the switch itself once more, as another package whose `native` folder is the test's. What the real
extension does stands in tests/test_extension_loaded.py.
"""

import importlib.util
import sys
import warnings
from pathlib import Path

import pytest

import wscore.codec

HOME = Path(wscore.codec.__file__).parent
MODULES = ("masking", "utf8", "frames", "reader", "writer", "deflate")
ENVIRONMENTS_WITHOUT_A_CHOICE = [None, "", "0"]


@pytest.fixture
def load(tmp_path, monkeypatch):
    """A function that loads the switch; its `native` folder holds the sources given by module name."""
    name = "switch_under_test"

    def load(pure: str | None = None, **sources: str):
        if pure is None:
            monkeypatch.delenv("WSCORE_PURE", raising=False)
        else:
            monkeypatch.setenv("WSCORE_PURE", pure)
        native = tmp_path / "native"
        native.mkdir()
        (native / "__init__.py").touch()
        for module, source in sources.items():
            (native / f"{module}.py").write_text(source)
        spec = importlib.util.spec_from_file_location(
            name, HOME / "__init__.py", submodule_search_locations=[str(tmp_path), str(HOME)]
        )
        switch = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, switch)
        spec.loader.exec_module(switch)
        return switch

    yield load
    for module in [module for module in sys.modules if module.startswith(name)]:
        del sys.modules[module]


def working() -> dict[str, str]:
    """Modules that can be imported and have the right names."""
    return {"kernels": "NAME = 'fast'"} | {name: f"from wscore.codec.pure.{name} import *" for name in MODULES}


@pytest.mark.parametrize("pure", ENVIRONMENTS_WITHOUT_A_CHOICE)
def test_what_is_built_and_loads_is_used(load, pure):
    switch = load(pure, **working())
    assert (switch.IMPLEMENTATION, switch.KERNEL, switch.LOAD_ERROR) == ("native", "fast", None)
    assert switch.Reader is sys.modules["switch_under_test.native.reader"].Reader


@pytest.mark.parametrize("pure", ENVIRONMENTS_WITHOUT_A_CHOICE)
def test_what_was_never_built_is_missed_by_nobody(load, pure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        switch = load(pure)
    assert (switch.IMPLEMENTATION, switch.LOAD_ERROR) == ("pure", None)
    assert switch.Reader is sys.modules["switch_under_test.pure.reader"].Reader


@pytest.mark.parametrize("pure", ["1", "yes"])
def test_the_environment_can_ask_for_the_pure_twin(load, pure):
    switch = load(pure, **working())
    assert (switch.IMPLEMENTATION, switch.LOAD_ERROR) == ("pure", None)
    assert "switch_under_test.native.reader" not in sys.modules
    assert switch.Reader is sys.modules["switch_under_test.pure.reader"].Reader


@pytest.mark.parametrize("broken", MODULES)
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('undefined symbol: deflate')", "ImportError: undefined symbol: deflate"),
        ("raise ValueError('wscore.codec.native.x size changed')", "ValueError: wscore.codec.native.x size changed"),
    ],
)
def test_what_is_built_and_does_not_load_warns_with_the_reason(load, broken, source, reason):
    with pytest.warns(UserWarning, match=f"pure Python.*{reason}"):
        switch = load(**working() | {broken: source})
    assert switch.IMPLEMENTATION == "pure"
    error = switch.LOAD_ERROR
    assert error == reason
    assert switch.Reader is sys.modules["switch_under_test.pure.reader"].Reader


def test_half_a_build_is_a_broken_one(load):
    with pytest.warns(UserWarning, match="does not load"):
        switch = load(masking=working()["masking"])
    assert switch.IMPLEMENTATION == "pure"
    assert "ModuleNotFoundError" in switch.LOAD_ERROR


def test_an_extension_built_from_older_sources_is_a_broken_one(load):
    with pytest.warns(UserWarning, match="does not load: AttributeError: .*'NAME'"):
        switch = load(**working() | {"kernels": ""})
    assert switch.IMPLEMENTATION == "pure"


def test_a_broken_extension_does_not_matter_to_who_asked_for_the_pure_twin(load):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        switch = load("1", masking="raise ImportError('broken')")
    assert (switch.IMPLEMENTATION, switch.LOAD_ERROR) == ("pure", None)


def test_every_public_name_is_there_and_listed_once():
    assert all(hasattr(wscore.codec, name) for name in wscore.codec.__all__)
    assert len(set(wscore.codec.__all__)) == len(wscore.codec.__all__)


def test_all_names_come_from_one_twin():
    modules = {getattr(wscore.codec, name).__module__ for name in ("Reader", "Writer", "Deflater", "Utf8Validator")}
    assert {module.split(".")[2] for module in modules} == {wscore.codec.IMPLEMENTATION}
