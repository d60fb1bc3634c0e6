"""The histogram of `wscore bench`: how exact it is, and that nothing is lost in it."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wscore.cli.bench.histogram import Histogram

VALUES = st.integers(0, 1 << 50)
PERCENTS = st.sampled_from([0, 1, 25, 50, 90, 99, 99.9, 99.99, 100]) | st.floats(0, 100)


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def exact(values: list[int], percent: float) -> int:
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]


@pytest.mark.parametrize("value", [0, 1, 2047])
def test_values_below_2048_are_exact(value: int) -> None:
    histogram = filled([value, 5000])
    assert histogram.percentile(50) == value


@pytest.mark.parametrize(("value", "end"), [(2048, 2049), (2049, 2049), (2050, 2051), (4096, 4099), (1 << 40, None)])
def test_from_2048_on_a_value_is_rounded_up_to_the_end_of_its_step(value: int, end: int | None) -> None:
    histogram = filled([value, 1 << 60])
    assert histogram.percentile(50) == (value + (1 << 30) - 1 if end is None else end)


@given(VALUES)
def test_a_value_is_known_to_one_part_in_1024(value: int) -> None:
    found = filled([value, 1 << 60]).percentile(50)
    assert value <= found
    assert (found - value) * 1024 < max(value, 1)


@given(st.lists(VALUES, min_size=1, max_size=300), PERCENTS)
def test_percentiles_are_those_of_the_sorted_values(values: list[int], percent: float) -> None:
    found, wanted = filled(values).percentile(percent), exact(values, percent)
    # As floats, a rank such as 0.07 * 100 may be a hair too large; the histogram reckons with fractions.
    assert found >= wanted or found >= exact(values, math.nextafter(percent, 0))
    assert (found - wanted) * 1024 <= max(wanted, 1)


def test_percentiles_are_meant_as_they_are_written() -> None:
    histogram = filled(list(range(1, 1001)))
    assert [histogram.percentile(percent) for percent in (0, 0.1, 50, 99.9, 99.91, 100)] == [1, 1, 500, 999, 1000, 1000]


@given(st.lists(st.tuples(VALUES, st.integers(1, 1000)), min_size=1, max_size=50))
def test_a_value_counted_many_times_is_as_many_values(pairs: list[tuple[int, int]]) -> None:
    histogram = Histogram()
    for value, count in pairs:
        histogram.record(value, count)
    values = [value for value, count in pairs for _ in range(count)]
    assert histogram.count == len(values)
    assert (histogram.minimum, histogram.maximum) == (min(values), max(values))
    assert histogram.mean == sum(values) / len(values)


@given(st.lists(VALUES), st.lists(VALUES))
def test_merging_is_counting_both(one: list[int], other: list[int]) -> None:
    merged, second, both = filled(one), filled(other), filled(one + other)
    merged.merge(second)
    assert (merged.count, merged.minimum, merged.maximum) == (both.count, both.minimum, both.maximum)
    assert second.count == len(other)
    if one or other:
        assert merged.mean == both.mean
        assert all(merged.percentile(percent) == both.percentile(percent) for percent in range(101))


def test_memory_is_bounded_by_the_range_of_the_values() -> None:
    source = random.Random(4)
    histogram = filled([source.randrange(1 << source.randrange(1, 22)) for _ in range(200_000)])
    assert len(histogram._counts) <= 2048 + 10 * 1024


@pytest.mark.parametrize(("value", "count"), [(-1, 1), (0, 0), (5, -1)])
def test_only_what_can_be_counted_is(value: int, count: int) -> None:
    histogram = Histogram()
    with pytest.raises(ValueError, match="from 0 upwards"):
        histogram.record(value, count)
    assert histogram.count == 0


@pytest.mark.parametrize("percent", [-0.1, 100.1, math.nan])
def test_a_percentile_is_from_0_to_100(percent: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 100"):
        filled([1]).percentile(percent)


def test_an_empty_one_has_neither_percentiles_nor_a_mean() -> None:
    with pytest.raises(ValueError, match="nothing was recorded"):
        Histogram().percentile(50)
    with pytest.raises(ValueError, match="nothing was recorded"):
        _ = Histogram().mean
