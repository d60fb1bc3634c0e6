"""The configuration file of `wscore serve`: TOML, its keys the options' names without the dashes in front.

Decides how TOML's types become values: switches are booleans, options that may be repeated are arrays, numbers may
stand without quotes. Whatever is not understood is an error that names the file, the key, and what is allowed there: a
misspelt limit must not be a limit that is quietly missing.

Refuses to know which options there are, and which values make sense: `wscore.cli.options` does.
"""

import tomllib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from wscore.cli import reason, values
from wscore.cli.options import Option, Settings

__all__ = ["read_config"]


def read_config(path: str, options: Iterable[Option]) -> Settings:
    """Return the settings that stand in the file. Raises `ValueError` with a sentence."""
    by_name = {option.name: option for option in options if option.name != "config"}
    table = _parsed(path)
    return {by_name[key].setting: _value(path, by_name[key], table[key]) for key in _known(path, table, by_name)}


def _parsed(path: str) -> Mapping[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {reason(error)}") from None
    except (ValueError, RecursionError) as error:  # what tomllib raises, and text that is not UTF-8
        raise ValueError(f"{path} is not TOML: {reason(error)}") from None


def _known(path: str, table: Mapping[str, Any], names: Iterable[str]) -> Iterable[str]:
    for key in table:
        if key not in names:
            close = get_close_matches(key.replace("_", "-").lower(), names, n=1)
            hint = f"did you mean {close[0]}?" if close else "its keys are the options of wscore serve --help"
            raise ValueError(f"{path}: there is no option {key!r}; {hint}")
    return table


def _value(path: str, option: Option, value: object) -> Any:
    try:
        return _understood(option, value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {option.name} {error}") from None


def _understood(option: Option, value: object) -> Any:
    if option.parse is None:
        if not isinstance(value, bool):
            raise TypeError(f"must be true or false, not {value!r}")
        return value
    if not option.repeatable:
        return _one(option.parse, value)
    if not isinstance(value, list):
        raise TypeError(f'must be an array such as ["one", "two"], not {value!r}')
    return [_one(option.parse, item) for item in value]


def _one(parse: Callable[[str], Any], value: object) -> Any:
    wants_text = parse is values.text
    if isinstance(value, bool) or not isinstance(value, str if wants_text else str | int | float):
        raise TypeError(f"must be a string{'' if wants_text else ' or a number'}, not {value!r}")
    return parse(str(value))
