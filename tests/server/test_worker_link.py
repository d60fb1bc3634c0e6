"""What supervisor and worker say to each other: lines, whole or in parts, and silence."""

import select
import socket

from wscore.server.worker_link import Command, WorkerLink, report


def pair() -> tuple[WorkerLink, socket.socket]:
    ours, theirs = socket.socketpair()
    return WorkerLink(ours), theirs


def test_reports_come_in_parts_and_several_at_once() -> None:
    link, worker = pair()
    assert link.reports() == []
    line = report(snapshot={"accepted": {"": 1}})
    worker.sendall(line[:5])
    assert link.reports() == []
    worker.sendall(line[5:] + report(ready=True) + b"{")
    assert link.reports() == [{"snapshot": {"accepted": {"": 1}}}, {"ready": True}]
    assert not link.has_ended
    worker.close()
    assert link.reports() == []
    assert link.has_ended
    link.close()


def test_what_a_worker_said_before_its_end_is_heard() -> None:
    link, worker = pair()
    worker.sendall(report(ready=True))
    worker.close()
    assert link.reports() == [{"ready": True}]
    assert link.has_ended
    link.close()


def test_commands_are_lines() -> None:
    link, worker = pair()
    for command in Command:
        link.tell(command)
    assert [Command(line) for line in worker.recv(100).split()] == list(Command)
    worker.close()
    link.close()


def test_a_worker_that_does_not_listen_does_not_stop_its_supervisor() -> None:
    link, worker = pair()
    for _ in range(1_000_000):
        link.tell(Command.SNAPSHOT)
        if not can_be_told(link):
            break
    else:
        raise AssertionError("a pair of sockets without end")
    link.tell(Command.DRAIN)
    worker.close()
    link.tell(Command.DRAIN)
    link.close()


def can_be_told(link: WorkerLink) -> bool:

    return bool(select.select([], [link.sock], [], 0)[1])
