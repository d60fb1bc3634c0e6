"""The site builds without a warning, and whoever reads it loads nothing from elsewhere."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import wscore
import wscore.codec

from .pages import DOCS, PAGES, ROOT

pytest.importorskip("sphinx", reason="pip install --group docs")
pytest.importorskip("furo", reason="pip install --group docs")
if not (ROOT / "benchmarks").exists():
    pytest.skip("there are no results of benchmarks here", allow_module_level=True)

from sphinx.util.inventory import InventoryFile

# What a browser fetches by itself: not <a href>.
FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(folder / "cache"), str(DOCS)]
    run = subprocess.run([*command, str(folder / "html")], capture_output=True, text=True, timeout=600, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    return folder / "html"


class Fetches(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        place = dict(attrs).get(FETCHED.get(tag, ""))
        if place:
            self.places.append(place)


def is_elsewhere(place: str) -> bool:
    return place.startswith("//") or ("://" in place and not place.startswith("data:"))


def test_every_page_is_there(site: Path) -> None:
    assert PAGES
    for page in PAGES:
        assert (site / page.relative_to(DOCS)).with_suffix(".html").exists()


def test_the_reference_has_every_public_name(site: Path) -> None:
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.loads(file.read(), uri="")
    described = {name.rpartition(".")[2] for kind in inventory.data.values() for name in kind}
    assert sorted({*wscore.__all__, *wscore.codec.__all__} - described - {"__version__"}) == []


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        page = Fetches()
        page.feed(path.read_text(encoding="utf-8"))
        assert page.places
        assert [place for place in page.places if is_elsewhere(place)] == []


def test_no_style_loads_anything_from_elsewhere(site: Path) -> None:
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert not any("url(http" in style or "url(//" in style or "@import" in style for style in styles)
