"""The compiled session is the plain one with the types of its .pxd files, of which Cython ignores without a word those
that stand elsewhere, and what is not in them is no attribute.
"""

import importlib
import inspect
from pathlib import Path
from types import GetSetDescriptorType

import pytest

import wscore.session
from wscore.codec import SERVER
from wscore.protocol.connection import Connection
from wscore.session import Options, Session

pytestmark = pytest.mark.native

NATIVE = Path(wscore.session.__file__).parent / "native"
MODULES = sorted(path.stem for path in NATIVE.glob("*.pxd"))


def classes(module):
    """The classes of a module with the compiled ones beside them."""
    plain, compiled = (importlib.import_module(f"wscore.session.{name}") for name in (module, f"native.{module}"))
    for name, kind in vars(plain).items():
        if inspect.isclass(kind) and kind.__module__ == plain.__name__:
            yield kind, getattr(compiled, name)


def test_what_is_compiled_is_in_use():
    assert "_core" in MODULES
    assert Session.__module__ == "wscore.session.native._core"
    session = Session(Connection(SERVER), Options(), 0.0)
    assert type(session._receiving).__module__ == "wscore.session.native.receiving"
    assert [base.__module__ for base in Session.__mro__[1:-1]] == ["wscore.session.native.life"]


@pytest.mark.parametrize("module", MODULES)
def test_each_attribute_stands_in_the_pxd(module):
    for plain, compiled in classes(module):
        missing = [name for name in plain.__slots__ if type(vars(compiled).get(name)) is not GetSetDescriptorType]
        assert missing == [], f"native/{module}.pxd lacks them"


def test_their_fields_are_of_c():
    both = [each for module in MODULES for each in classes(module)]
    assert [compiled.__basicsize__ for _, compiled in both] != [plain.__basicsize__ for plain, _ in both]
    assert all(compiled.__dictoffset__ == 0 for _, compiled in both)
