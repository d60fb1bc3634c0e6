"""`wscore bench` where the system is not as it would be at home: descriptors that are taken, and processors, too."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from wscore.cli.bench.results import lines_of

from ..raw import echo

SHORT = "--duration", 0.3, "--warm-up", 0.1, "--connections", 3

# Opens so many descriptors, which the program inherits.
CROWDED = """
import os, resource, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
for _ in range(2000):
    os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs exec")
@pytest.mark.parametrize("load", [("--rate", 300), ("--rate", 5000), ("--in-flight", 4)])
async def test_it_works_with_2000_descriptors_open(
    running: Callable[..., Any], serving: Callable[..., Any], load: tuple[object, ...]
) -> None:
    async with (
        serving(echo) as url,
        running("bench", url, "--json", *SHORT, *load, launcher=[sys.executable, "-c", CROWDED]) as program,
    ):
        status, output, errors = await program.finish()
    assert (status, errors) == (0, "")
    assert json.loads(output)["messages"]["lost"] == 0


@pytest.mark.skipif(not os.path.exists("/proc/thread-self/schedstat"), reason="only Linux tells")
async def test_it_knows_how_long_it_had_no_processor(running: Callable[..., Any], serving: Callable[..., Any]) -> None:
    """Beside two others that want all of the one processor that it may use."""
    processor = min(os.sched_getaffinity(0))
    pin = f"import os, sys; os.sched_setaffinity(0, [{processor}]); os.execv(sys.argv[1], sys.argv[1:])"
    pinned = [sys.executable, "-c", pin]
    hogs = [subprocess.Popen([*pinned, sys.executable, "-c", "while True: pass"]) for _ in range(2)]  # noqa: ASYNC220
    try:
        async with (
            serving(echo) as url,
            running("bench", url, "--json", "--duration", 1, "--in-flight", 64, launcher=pinned) as program,
        ):
            _, output, _ = await program.finish()
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    results = json.loads(output)
    assert results["measured"]["generator"]["starved"] > 0.1
    *_, last = lines_of(results)
    assert "of the time for a processor, which counts as latency" in last


@pytest.mark.parametrize(("starved", "is_said"), [(None, False), (0.0, False), (0.05, False), (0.06, True)])
async def test_a_little_is_not_worth_a_word_and_where_nobody_knows_nothing_is_said(
    run: Callable[..., Any], serving: Callable[..., Any], starved: float | None, is_said: bool
) -> None:
    async with serving(echo) as url:
        _, output, _ = await run("bench", url, "--json", *SHORT)
    results = json.loads(output)
    results["measured"]["generator"]["starved"] = starved
    *_, last = lines_of(results)
    assert ("for a processor" in last) is is_said
