"""How Sphinx makes the documentation: `sphinx-build -W docs build/docs`.

The pages are Markdown, the reference is the docstrings, whose `names` become links where they are documented. Readers
load nothing from elsewhere: no fonts, no scripts, no counters.
"""

import os
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx

# The twins have the same names and docstrings, and Python's have annotations that can be read at run time.
os.environ["WSCORE_PURE"] = "1"

sys.path.insert(0, str(Path(__file__).parent))

import wscore

project = "wscore"
copyright = "the authors of wscore"
version = release = wscore.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "tables"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
default_role = "py:obj"
# "wait" is a value to be typed.
smartquotes = False

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "wscore"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
maximum_signature_line_length = 100
add_module_names = False
toc_object_entries_show_parents = "hide"


def from_markdown(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Let what is indented after a colon stand as it is, and a letter stand after a `name`, as in Markdown."""
    text = re.sub(r"(`[^`]+`)(\w?)", lambda span: span[1] + (span[2] and rf"\ {span[2]}"), "\n".join(lines))
    text = re.sub(r"(?<!:):\n\n(?=    )", ":\n\n.. code-block:: text\n\n", text)
    # What Python says of the fields of a named tuple, where nobody says more.
    lines[:] = [] if text.startswith("Alias for field number") else text.split("\n")


def find_public_names(app: Sphinx, page: nodes.document) -> None:
    """Let `WebSocket` mean what `wscore` calls so, except in what is said of an adapter, which has one of its own."""
    for node in page.findall(pending_xref):
        home, _, name = node["reftarget"].rpartition(".")
        of_adapter = (node.get("py:module") or "").startswith("wscore.adapters")
        if node.get("refdomain") == "py" and not of_adapter and home in ("", wscore._HOME_OF.get(name)):
            node["reftarget"] = f"wscore.{name}" if name in wscore.__all__ else node["reftarget"]


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", from_markdown)
    app.connect("doctree-read", find_public_names)
