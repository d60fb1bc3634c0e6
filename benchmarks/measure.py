"""Takes the time: rounds in which the contenders of a task take turns, so that a busy machine is busy for all of them.

Decides how long and how often; knows nothing of what is measured. Times are of the processor, where the system counts
them finely enough, so that what else runs on the machine costs us its cache and no more. The garbage collector stays
on: objects that keep it busy are part of what a library costs.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from .tasks import Contender, Task

__all__ = ["CLOCK", "CLOCK_NAME", "Effort", "Result", "measure"]

CLOCK_NAME = "thread_time" if time.get_clock_info("thread_time").resolution < 1e-6 else "perf_counter"
CLOCK: Callable[[], float] = getattr(time, CLOCK_NAME)


@dataclass(frozen=True)
class Effort:
    """How many rounds, and how long a contender runs in each of them, in seconds."""

    rounds: int
    sample: float


@dataclass(frozen=True)
class Result:
    """Nanoseconds a unit, for each contender and round."""

    task: Task
    times: dict[str, list[float]]

    def median(self, name: str) -> float:
        return median(self.times[name])

    def as_json(self) -> dict[str, Any]:
        rounded = {name: [float(f"{value:.4g}") for value in values] for name, values in self.times.items()}
        task = self.task
        return {
            "area": task.area, "load": task.load, "size": task.size, "count": task.count, "unit": task.unit,
            "ns": rounded,
        }  # fmt: skip


def measure(tasks: Iterable[Task], effort: Effort) -> Iterator[Result]:
    """Measure one task after the other; wrong results are an AssertionError."""
    for task in tasks:
        yield _measure_task(task, effort)


class _Runner:
    """A contender that is ready to run."""

    def __init__(self, task: Task, contender: Contender, run: Callable[[], Any]) -> None:
        self.count = task.count
        self.run = run
        self.tidy = contender.tidy
        self.repeats = 1
        self.times: list[float] = []
        self._check(task, contender)

    def _check(self, task: Task, contender: Contender) -> None:
        result = self.run()
        self._clean()
        if task.expected is not None and contender.result(result) != task.expected:
            raise AssertionError(f"{contender.name} gives a wrong result in {task.name}")

    def _clean(self) -> None:
        if self.tidy is not None:
            self.tidy()

    def sample(self) -> float:
        """Seconds for all repeats."""
        if self.tidy is not None:
            return self._sample_one_by_one()
        run, repeats = self.run, range(self.repeats)
        begin = CLOCK()
        for _ in repeats:
            run()
        return CLOCK() - begin

    def _sample_one_by_one(self) -> float:
        total = 0.0
        for _ in range(self.repeats):
            begin = CLOCK()
            self.run()
            total += CLOCK() - begin
            self._clean()
        return total

    def calibrate(self, seconds: float) -> None:
        """Find how many repeats take that long."""
        while (spent := self.sample()) < seconds / 8:
            self.repeats *= 4
        self.repeats = max(1, math.ceil(self.repeats * seconds / spent))

    def note(self) -> None:
        self.times.append(self.sample() / self.repeats / self.count * 1e9)


def _measure_task(task: Task, effort: Effort) -> Result:
    runners = {}
    for contender in task.contenders:
        run = contender.prepare()
        if run is not None:
            runners[contender.name] = _Runner(task, contender, run)
    for runner in runners.values():
        runner.calibrate(effort.sample)
    order = list(runners.values())
    generator = random.Random(task.name)
    gc.collect()
    gc.freeze()
    for _ in range(effort.rounds):
        generator.shuffle(order)
        for runner in order:
            runner.note()
    gc.unfreeze()
    return Result(task, {name: runner.times for name, runner in runners.items()})
