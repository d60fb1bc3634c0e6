"""A run: in each round of a case every contender has its turn, in random order, with a fresh process.

Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .build import LOAD, build
from .cases import Case, Effort
from .contenders import Contender
from .processes import Failure, certificates, running, under_load

__all__ = ["Outcome", "measure", "seconds_of"]

# Beside the seconds that count: starting both processes, opening the connections, warming up.
OVERHEAD = 1.6
PATIENCE = 60.0

Say = Callable[[str], None]


@dataclass
class Outcome:
    """The turns of each contender, a list of what the load generator said; what failed says why."""

    case: Case
    turns: dict[str, list[dict[str, Any]]]
    failures: dict[str, str]
    versions: dict[str, str]


def measure(
    cases: Iterable[Case], contenders: Sequence[Contender], effort: Effort, *, transport: str, say: Say
) -> Iterator[Outcome]:
    """Measure one case after the other. Raises BuildError where there is no load generator."""
    load = build(LOAD)
    commands = {one: one.command(transport) for one in contenders}
    there = [one for one in contenders if commands[one] is not None]
    with certificates() as folder:
        for case in cases:
            say(case.key)
            session = _Session(case, effort, folder, load, say)
            for _ in range(_rounds(case, effort)):
                session.round([(one, commands[one] or []) for one in there if case.has(one)])
            yield session.outcome


def _rounds(case: Case, effort: Effort) -> int:
    return min(case.rounds or effort.rounds, effort.rounds)


class _Session:
    def __init__(self, case: Case, effort: Effort, folder: Path, load: Path, say: Say) -> None:
        self.outcome = Outcome(case, {}, {}, {})
        self.random = random.Random(case.key)
        self.seconds = case.seconds or effort.seconds
        self.extra = effort.load
        self.folder = folder
        self.load = load
        self.say = say

    def round(self, contenders: list[tuple[Contender, list[str]]]) -> None:
        self.random.shuffle(contenders)
        for contender, command in contenders:
            if contender.name not in self.outcome.failures:
                self._turn(contender.name, command)

    def _turn(self, name: str, command: list[str]) -> None:
        """Who fails once is not asked again; what it did before does not count."""
        try:
            with running([*command, *self._server_options()]) as server:
                result = under_load(self.load, server, self._load_options(), limit=self.seconds + PATIENCE)
        except Failure as failure:
            self.say(f"  {name}: {failure}")
            self.outcome.failures[name] = str(failure)
            self.outcome.turns.pop(name, None)
            return
        self.outcome.turns.setdefault(name, []).append(result)
        self.outcome.versions.update(server.versions)

    def _server_options(self) -> list[str]:
        options = list(self.outcome.case.server)
        if "--tls" in options:
            options.insert(options.index("--tls") + 1, str(self.folder))
        return options

    def _load_options(self) -> list[str]:
        case = self.outcome.case
        options = [case.mode, "--connections", str(case.connections), "--seconds", str(self.seconds)]
        if "--tls" in case.server:
            options += ["--tls", str(self.folder / "authority.pem")]
        return [*options, *case.load, *self.extra]


def seconds_of(cases: Iterable[Case], contenders: Sequence[Contender], effort: Effort) -> float:
    """About how long that will take."""
    total = 0.0
    for case in cases:
        each = (case.seconds or effort.seconds) + OVERHEAD + case.connections / 1500
        total += _rounds(case, effort) * each * sum(case.has(one) for one in contenders)
    return total
