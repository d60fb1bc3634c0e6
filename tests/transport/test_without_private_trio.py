"""Where Trio keeps its parts elsewhere than we know, public calls take their place: all tests of transports pass."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent.parent
HANGING = 900

# What `trio_glue` knows beyond Trio's everyday interface is gone before anything of wscore is loaded.
PROGRAM = """
import sys, pytest, trio
del trio._core._run
from wscore.transport import trio_glue
def gone(): raise AttributeError("_cancel_status")
trio_glue.is_cancelled_by_attribute = gone
assert trio_glue.is_cancelled_by_attribute is gone
sys.exit(pytest.main(sys.argv[1:]))
"""
# These say what we know of Trio, and when a turn of the reactor comes, which only who knows it can choose.
ABOUT_IT = (
    "test_trio_glue.py",
    Path(__file__).name,
    "test_reactor.py::test_a_turn_ends_after_256_events",
    "test_reactor.py::test_who_waits_for_a_message_runs_in_the_pass_of_trio_in_which_it_comes",
)


def test_everything_works_by_public_calls(request: pytest.FixtureRequest) -> None:
    left_out = [f"--deselect={TESTS.relative_to(ROOT) / name}" for name in ABOUT_IT]
    options = ["-q", "-x", "-p", "no:cacheprovider", "-n", "0", *left_out]
    if not request.config.getoption("--long"):
        options += ["-k", "receiv or cancel or awaitable"]
    command = [sys.executable, "-c", PROGRAM, *options, str(TESTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGING, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert " passed" in done.stdout
