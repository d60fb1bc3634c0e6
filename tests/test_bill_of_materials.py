"""What an installed wscore says about the libraries inside it (PEP 770) is what it uses."""

import json
from importlib.metadata import files

from wscore.codec import DEFLATE_LIBRARY


def bills() -> list[str]:
    return [path.read_text() for path in files("wscore-websockets") or () if path.match("*.dist-info/sboms/*.cdx.json")]


def test_the_bill_names_the_library_that_compresses_and_no_other() -> None:
    components = [component for bill in bills() for component in json.loads(bill)["components"]]
    linked = [f"{component['name']} {component['version']}" for component in components]
    assert linked == ([DEFLATE_LIBRARY] if DEFLATE_LIBRARY.startswith("zlib-ng") else [])
