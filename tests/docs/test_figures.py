"""What README.md and the documentation say was measured is what the results in the repository say."""

import re
import subprocess
import sys

import pytest

from .pages import PAGES, ROOT

if not (ROOT / "benchmarks").exists():
    pytest.skip("there are no results of benchmarks here", allow_module_level=True)

sys.path.append(str(ROOT))

from benchmarks import figures

NUMBER = r"\b\d[\d.,]*"
BY_HAND = re.compile(rf"{NUMBER} (?:to {NUMBER} )?(?:times|% (?:more|less|faster))\b|{NUMBER} (?:ns|µs|us)\b", re.I)
GENERATED = re.compile(r"<!-- figures: .*?<!-- end of figures -->", re.S)


@pytest.mark.parametrize("page", figures.PAGES)
def test_a_page_says_what_the_results_say(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert figures.filled_in(text) == text, "python -m benchmarks figures"


def test_every_figure_is_in_a_page_and_every_page_has_some() -> None:
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in figures.PAGES]
    named = [re.findall(r"<!-- figures: (.+) -->", text) for text in texts]
    assert all(named)
    assert sorted(name for names in named for name in names) == sorted(figures.BLOCKS)


@pytest.mark.parametrize("page", ["README.md", *(page.relative_to(ROOT).as_posix() for page in PAGES)])
def test_no_page_has_ratios_and_times_that_somebody_has_written_by_hand(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert BY_HAND.findall(GENERATED.sub("", text)) == []
    assert page in figures.PAGES or "<!-- figures:" not in text


def test_what_was_measured_otherwise_is_noticed() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    wrong = text.replace(" times the rate of uvicorn's default", "0 times the rate of uvicorn's default")
    assert wrong != text
    assert figures.filled_in(wrong) == text


def test_the_command_compares() -> None:
    check = [sys.executable, "-m", "benchmarks", "figures", "--check"]
    run = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
