"""Senseless options are refused in sentences that name them."""

import sys

import pytest

from wscore.protocol.checks import check_choice, check_rate, check_size, check_time


def test_what_makes_sense_passes() -> None:
    check_choice("colour", "red", ("red", "blue"))
    check_size("size", 1)
    check_size("size", 0, least=0)
    check_time("time", 0.5)
    check_time("time", None, may_be_none=True)
    check_rate("rate", 0.5)
    check_rate("rate", None)


def test_a_choice_is_one_of_the_list() -> None:
    with pytest.raises(ValueError, match="colour must be one of 'red', None, not 'green'"):
        check_choice("colour", "green", ("red", None))


@pytest.mark.parametrize("value", [True, 1.5, "1", None])
def test_a_size_is_a_whole_number(value: object) -> None:
    with pytest.raises(TypeError, match="size must be a whole number"):
        check_size("size", value)


def test_a_size_has_a_least_value() -> None:
    with pytest.raises(ValueError, match="size must be at least 1, not 0"):
        check_size("size", 0)


def test_a_size_is_no_larger_than_memory() -> None:
    check_size("size", sys.maxsize)
    with pytest.raises(ValueError, match=f"size must be at most {sys.maxsize}, not {sys.maxsize + 1}"):
        check_size("size", sys.maxsize + 1)


@pytest.mark.parametrize("value", [True, "1", None])
def test_a_time_is_a_number_of_seconds(value: object) -> None:
    with pytest.raises(TypeError, match="time must be a number of seconds"):
        check_time("time", value)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), 10**400])
def test_a_time_is_positive_and_finite(value: float) -> None:
    with pytest.raises(ValueError, match=r"time must be more than 0 seconds and finite, not .*[^)]$"):
        check_time("time", value)
    with pytest.raises(ValueError, match=r"\(None switches it off\)"):
        check_time("time", value, may_be_none=True)


@pytest.mark.parametrize("value", [True, "1"])
def test_a_rate_is_a_number_a_second(value: object) -> None:
    with pytest.raises(TypeError, match="rate must be a number a second"):
        check_rate("rate", value)


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), 10**400])
def test_a_rate_is_positive_and_finite(value: float) -> None:
    with pytest.raises(ValueError, match=r"rate must be more than 0 a second and finite, not .*\(None switches it off"):
        check_rate("rate", value)
