"""Options that cannot be meant are refused at once, in a sentence that names them. Knows no option by itself."""

import sys
from collections.abc import Collection

__all__ = ["check_choice", "check_rate", "check_size", "check_time"]


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise `ValueError` unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def check_time(name: str, value: object, *, may_be_none: bool = False) -> None:
    """Raise `TypeError` or `ValueError` unless `value` is seconds, more than 0 and finite, or None where it may be."""
    if value is None and may_be_none:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 < value <= sys.float_info.max:  # an int may be larger
        never = " (None switches it off)" if may_be_none else ""
        raise ValueError(f"{name} must be more than 0 seconds and finite, not {value!r}{never}")


def check_rate(name: str, value: object) -> None:
    """Raise `TypeError` or `ValueError` unless `value` is so many a second, more than 0 and finite, or None."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number a second, not {value!r}")
    if not 0 < value <= sys.float_info.max:
        raise ValueError(f"{name} must be more than 0 a second and finite, not {value!r} (None switches it off)")


def check_size(name: str, value: object, *, least: int = 1) -> None:
    """Raise `TypeError` or `ValueError` unless `value` is a whole number, at least `least` and at most a `ssize_t`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    if value > sys.maxsize:
        raise ValueError(f"{name} must be at most {sys.maxsize}, not {value!r}")
