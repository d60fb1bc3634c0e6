"""Token buckets: what a rate allows, and not one more."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.session.rates import Bucket, Rate, Throttle, rate_of

NOW = 10_000.0


def taken_at(bucket: Bucket, now: float) -> int:
    """How many tokens there are to take at once."""
    count = 0
    while not bucket.take(now):
        count += 1
    return count


def test_a_full_bucket_gives_its_burst_and_then_one_at_a_time() -> None:
    bucket = Bucket(Rate(2, 5))
    assert taken_at(bucket, NOW) == 5
    assert bucket.take(NOW) == pytest.approx(0.5)
    assert bucket.take(NOW + 0.49) == pytest.approx(0.01)
    assert bucket.take(NOW + 0.5) == 0
    assert bucket.take(NOW + 0.5) == pytest.approx(0.5)


def test_no_more_than_the_burst_is_saved() -> None:
    bucket = Bucket(Rate(2, 5))
    assert taken_at(bucket, NOW) == 5
    assert taken_at(bucket, NOW + 2) == 4
    assert taken_at(bucket, NOW + 1000) == 5


def test_what_was_refused_costs_nothing() -> None:
    bucket = Bucket(Rate(1, 1))
    bucket.take(NOW)
    for _ in range(100):
        assert bucket.take(NOW + 0.5) > 0
    assert bucket.take(NOW + 1) == 0


def test_several_tokens_are_taken_together_or_not_at_all() -> None:
    bucket = Bucket(Rate(10, 10))
    assert bucket.take(NOW, 8) == 0
    assert bucket.take(NOW, 3) == pytest.approx(0.1)
    assert bucket.take(NOW, 2) == 0
    assert bucket.take(NOW, 11) == math.inf


def test_a_charge_makes_debts_that_time_pays() -> None:
    bucket = Bucket(Rate(10, 10))
    assert bucket.charge(NOW, 10) == 0
    assert bucket.charge(NOW, 5) == pytest.approx(0.5)
    assert bucket.debt(NOW + 0.25) == pytest.approx(0.25)
    assert bucket.debt(NOW + 0.5) == 0
    assert bucket.take(NOW + 0.5) == pytest.approx(0.1)


def test_tokens_of_an_excused_time_are_kept_on_top_of_the_burst_and_spent_once() -> None:
    bucket = Bucket(Rate(10, 10))
    assert bucket.charge(NOW, 10) == 0
    later = NOW + 60
    bucket.excuse(later, 60)
    assert bucket.charge(later, 600) == 0
    assert bucket.charge(later, 1) == pytest.approx(0.1)


def test_only_what_there_was_no_room_for_is_kept_beside() -> None:
    bucket = Bucket(Rate(10, 10))
    bucket.charge(NOW, 30)
    bucket.excuse(NOW + 2, 2)
    assert bucket.tokens(NOW + 2) == pytest.approx(0)
    bucket.excuse(NOW + 5, 3)
    assert bucket.tokens(NOW + 5) == pytest.approx(30)
    bucket.excuse(NOW + 5, 100)
    assert bucket.tokens(NOW + 5) == pytest.approx(30)


def test_without_an_excuse_they_are_not() -> None:
    bucket = Bucket(Rate(10, 10))
    bucket.charge(NOW, 10)
    assert bucket.charge(NOW + 60, 600) == pytest.approx(59)


@given(
    st.floats(0.1, 1000),
    st.floats(1, 1000),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50), st.booleans()), max_size=50),
)
def test_in_any_time_no_more_is_taken_than_burst_and_rate_allow(
    per_second: float, burst: float, steps: list[tuple[float, int, bool]]
) -> None:
    bucket, now, taken = Bucket(Rate(per_second, burst)), NOW, 0
    for pause, count, excused in steps:
        now += pause
        if excused:
            bucket.excuse(now, pause)
        taken += count if bucket.take(now, count) == 0 else 0
        assert taken <= burst + per_second * (now - NOW) * (1 + 1e-9) + 1e-6


def test_a_number_is_a_rate_with_the_burst_of_a_second() -> None:
    assert rate_of("x", 50) == Rate(50, 50)
    assert rate_of("x", 0.2) == Rate(0.2, 1)
    assert rate_of("x", Rate(1, 7)) == Rate(1, 7)
    assert rate_of("x", None) is None


@pytest.mark.parametrize(
    ("value", "error"),
    [*((each, ValueError) for each in (0, -1, math.inf, math.nan)), (True, TypeError), ("5", TypeError)],
)
def test_a_senseless_rate_names_the_option(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"message_rate.*wscore\.Rate"):
        rate_of("message_rate", value)


@pytest.mark.parametrize("burst", [0.5, -1, math.inf, math.nan])
def test_a_burst_is_at_least_one(burst: float) -> None:
    with pytest.raises(ValueError, match="burst"):
        Rate(1, burst)


def test_a_throttle_waits_for_the_slower_of_two_rates() -> None:
    throttle = Throttle(Rate(10, 10), Rate(1000, 1000))
    assert throttle.charge(NOW, 10, 1000) == 0
    assert throttle.charge(NOW, 1, 0) == pytest.approx(0.1)
    assert throttle.charge(NOW, 0, 500) == pytest.approx(0.5)
    throttle.pause(NOW)
    throttle.excuse(NOW + 100)
    assert throttle.charge(NOW + 100, 900, 90_000) == 0


def test_a_throttle_may_have_one_rate_or_none() -> None:
    assert Throttle(None, None).charge(NOW, 10**9, 10**9) == 0
    assert Throttle(Rate(1), None).charge(NOW, 2, 10**9) == pytest.approx(1)
    assert Throttle(None, Rate(1)).charge(NOW, 10**9, 2) == pytest.approx(1)


def test_a_throttle_allows_as_many_messages_as_there_are_tokens_and_always_one() -> None:
    throttle = Throttle(Rate(10, 5), None)
    assert throttle.allowance(NOW) == 5
    throttle.charge(NOW, 3, 0)
    assert (throttle.allowance(NOW), throttle.wait(NOW)) == (2, 0)
    throttle.charge(NOW, 2, 0)
    assert throttle.wait(NOW) == pytest.approx(0.1)
    throttle.charge(NOW, 20, 0)
    assert throttle.allowance(NOW) == 1
    assert throttle.wait(NOW) == pytest.approx(2.1)


def test_an_allowance_is_a_number_to_count_with_however_high_the_rate() -> None:
    assert Throttle(Rate(1e308), None).allowance(NOW) == 1 << 32


@pytest.mark.parametrize("number", [10**400, -(10**400), float("nan"), float("inf")])
def test_no_rate_is_beyond_all_numbers(number: float) -> None:
    for numbers in ((number,), (1, number)):
        with pytest.raises(ValueError, match="must be finite"):
            Rate(*numbers)


def test_where_too_many_are_to_be_noticed_there_is_no_allowance() -> None:
    assert Throttle(Rate(10, 5), None, is_strict=True).allowance(NOW) is None
    assert Throttle(None, Rate(10, 5)).allowance(NOW) is None


def test_a_rate_whose_burst_takes_for_ever_is_none() -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate(5e-324)
    with pytest.raises(ValueError, match="rate"):
        Rate(1e-10, 1e308)
    assert Rate(1e-300).span < 1e301
