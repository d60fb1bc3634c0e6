"""Every task for every contender, under pytest-benchmark: `pytest benchmarks -k "receive and ascii and 125"`.

Each result is checked before anything is timed. `--benchmark-disable` checks and times nothing. Contenders do not take
turns here; the runner (`python -m benchmarks run`) is for comparing them.
"""

import pytest

from .tasks import Contender, Task, all_tasks

TASKS = [(task, contender) for task in all_tasks(quick=False) for contender in task.contenders]


@pytest.mark.parametrize(
    ("task", "contender"), TASKS, ids=[f"{task.name}-{contender.name}" for task, contender in TASKS]
)
def test_speed(benchmark, task: Task, contender: Contender) -> None:
    run = contender.prepare()
    if run is None:
        pytest.skip(f"{contender.name} cannot do this")
    benchmark.group = task.name
    benchmark.extra_info.update(unit=task.unit, count=task.count)
    result = run()
    assert task.expected is None or contender.result(result) == task.expected
    if contender.tidy is None:
        benchmark(run)
        return
    contender.tidy()
    benchmark.pedantic(run, setup=lambda: contender.tidy() and None, rounds=20)
