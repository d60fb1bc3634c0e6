"""Limits and switches: the documented defaults, and a sentence for every value that cannot be meant."""

import dataclasses

import pytest

from wscore.session.options import Options


def test_defaults_are_the_documented_ones() -> None:
    assert dataclasses.asdict(Options()) == {
        "compression": None,
        "compression_threshold": None,
        "pieces": False,
        "max_message_size": 1_048_576,
        "max_fragments": 4096,
        "max_head_size": 16_384,
        "max_headers": 128,
        "handshake_timeout": 10.0,
        "max_receive_queue": 1_048_576,
        "max_send_buffer": 1_048_576,
        "slow_consumer": "wait",
        "message_rate": None,
        "byte_rate": None,
        "fast_producer": "pause",
        "send_timeout": 30.0,
        "ping_interval": 20.0,
        "ping_timeout": 20.0,
        "close_timeout": 10.0,
        "strict_checkpoints": False,
    }


def test_options_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().pieces = True  # type: ignore[misc]


@pytest.mark.parametrize("name", ["max_message_size", "max_fragments", "max_receive_queue", "max_send_buffer"])
def test_sizes_are_at_least_one(name: str) -> None:
    assert getattr(Options(**{name: 1}), name) == 1
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        Options(**{name: 0})


@pytest.mark.parametrize("value", [1.5, "1", None, True])
def test_sizes_are_whole_numbers(value: object) -> None:
    with pytest.raises(TypeError, match="max_send_buffer must be a whole number"):
        Options(max_send_buffer=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["handshake_timeout", "send_timeout", "ping_interval", "ping_timeout", "close_timeout"]
)
@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_times_are_positive_and_finite(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be more than 0 seconds"):
        Options(**{name: value})


@pytest.mark.parametrize("value", ["1", True])
def test_times_are_numbers(value: object) -> None:
    with pytest.raises(TypeError, match="close_timeout must be a number of seconds"):
        Options(close_timeout=value)  # type: ignore[arg-type]


def test_only_pings_and_the_threshold_may_be_none() -> None:
    Options(ping_interval=None, ping_timeout=None, compression=None, compression_threshold=None)
    with pytest.raises(ValueError, match="None switches it off"):
        Options(ping_interval=0)
    with pytest.raises(TypeError):
        Options(close_timeout=None)  # type: ignore[arg-type]


def test_a_threshold_of_zero_compresses_everything() -> None:
    assert Options(compression_threshold=0).compression_threshold == 0
    with pytest.raises(ValueError, match="compression_threshold must be at least 0"):
        Options(compression_threshold=-1)


@pytest.mark.parametrize(
    ("name", "value"), [("slow_consumer", "ignore"), ("compression", "gzip"), ("slow_consumer", [])]
)
def test_choices_are_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} must be one of"):
        Options(**{name: value})


def test_switches_are_booleans() -> None:
    with pytest.raises(TypeError, match="pieces must be True or False"):
        Options(pieces=1)  # type: ignore[arg-type]
