"""A Connection has no lock and belongs to one thread at a time. Who breaks this rule gets nonsense, but no crash."""

import random
from contextlib import suppress

import pytest

from wscore.codec import CLIENT, SERVER
from wscore.protocol.extensions import DeflateParameters

from ..threads import at_once

pytestmark = [pytest.mark.native, pytest.mark.parametrize("codec", ["native"], indirect=True)]


def test_a_connection_in_many_threads_says_nonsense_but_does_not_crash(protocol, request):
    rounds = 2000 if request.config.getoption("--long") else 100
    pool = protocol.codec.DeflatePool(1)

    def connected(role):
        deflate = DeflateParameters()
        return protocol.Connection(role, compression="takeover", deflate=deflate, compression_pool=pool)

    pairs = {role: connected(role) for role in (SERVER, CLIENT)}

    def act(role, seed):
        choices = random.Random(seed)
        for _ in range(rounds):
            mine, other = pairs[role], pairs[CLIENT if role is SERVER else SERVER]
            with suppress(Exception):
                mine.send(choices.choice(["żółw" * 50, b"x" * 20_000, "short"]))
                mine.ping(b"ping")
                other.receive_data(mine.data_to_send(), choices.choice([None, 100]))
                other.receive_data(b"".join(mine.buffers_to_send()))
            if choices.random() < 0.1:
                with suppress(Exception):
                    mine.close(1000, "enough")
                    pairs[role] = connected(role)

    at_once(*(lambda role=role, seed=seed: act(role, seed) for role in pairs for seed in range(3)))
    server, client = connected(SERVER), connected(CLIENT)
    client.send("żółw" * 50)
    assert server.receive_data(client.data_to_send()) == ["żółw" * 50]
