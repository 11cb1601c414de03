"""Reads settings: a TOML file, command-line values, then `--set table.key=value`, later ones winning."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agentray.config.stages import Settings
from agentray.errors import UsageError, closest

Config = TypeVar("Config", bound=Settings)
_POSITIONAL = {"report.runs", "rescore.run"}
"""Settings that the command line takes without an option."""


def load(
    kind: type[Config],
    table: str,
    *,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Config:
    """Settings of one stage from a TOML file, command-line values and `--set` overrides, later ones winning.

    Args:
        kind: The settings class.
        table: Name of the stage's table in the file; also the first part of its override keys.
        file: TOML file; its other tables are ignored, except `[env.*]`.
        overrides: `table.key=value` strings; a value that is not TOML is a string.
        values: Settings from command-line options, None meaning "not given".

    Raises:
        UsageError: The file cannot be read, or a key or value is wrong.
    """
    document = _read_toml(file) if file else {}
    merged: dict[str, Any] = dict(_as_table(document.get(table, {}), table, f"write [{table}] in {file}"))
    if "env" in kind.model_fields and "env" in document:
        merged["env"] = document["env"]
    _merge(merged, values or {})
    for override in overrides:
        _apply(override, table, merged)
    return validated(kind, table, merged)


def validated(
    kind: type[Config], table: str, values: Mapping[str, Any], pending: Collection[str] = ()
) -> Config:
    """Settings of a class from plain values.

    Args:
        kind: The settings class.
        table: Where the values stand, for messages.
        values: By setting.
        pending: Settings whose values are not known yet; their absence is not an error, and the result is
            then not validated.

    Raises:
        UsageError: A key or value is wrong.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [each for each in error.errors() if not each["loc"] or each["loc"][0] not in pending]
        if not problems:
            return cast(Config, kind.model_construct(**values))
        raise _explain(problems[0], kind, table) from error


def _merge(settings: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Write the values that were given over the settings, table by table."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = dict(
                _as_table(settings.get(key, {}), key, "leave it out of the file, or make it a table")
            )
            _merge(inner, value)
            settings[key] = inner
        elif value is not None:
            settings[key] = value


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"no file {str(file)!r}", "it does not exist", "give the path of a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"cannot read {str(file)!r}", str(error), "correct the file") from error


def parse_override(override: str, table: str) -> tuple[list[str], Any]:
    """Keys and value of one `table.key=value`; a value that is not TOML is a string.

    Args:
        override: What followed `--set`.
        table: Name to propose in the error.

    Raises:
        UsageError: It is not of that form.
    """
    path, separator, text = override.partition("=")
    keys = path.strip().split(".")
    if not separator or len(keys) < 2 or not all(keys):
        raise UsageError(
            f"cannot read --set {override!r}",
            "it is not of the form table.key=value",
            f"--set {table}.key=value",
        )
    return keys, _parse_value(text.strip())


def _apply(override: str, table: str, settings: dict[str, Any]) -> None:
    """Write one `table.key=value` into the settings, making tables on the way."""
    keys, value = parse_override(override, table)
    if keys[0] not in (table, "env"):
        raise UsageError(
            f"--set {override!r} names no table of this command",
            closest(keys[0], [table, "env"]),
            f"--set {table}.{override.partition('.')[2]}",
        )
    for depth, key in enumerate(keys[:-1]):
        if depth == 0 and key == table:
            continue
        name = ".".join(keys[: depth + 1])
        settings[key] = dict(_as_table(settings.get(key, {}), name, f"give it whole: --set {name}=…"))
        settings = settings[key]
    settings[keys[-1]] = value


def _as_table(value: Any, name: str, fix: str) -> Mapping[str, Any]:
    """The value, which must be a table.

    Raises:
        UsageError: It is something else.
    """
    if isinstance(value, Settings):
        return value.model_dump()
    if isinstance(value, Mapping):
        return value
    raise UsageError(f"{name!r} is {value!r}", "it is not a table, so it holds no settings", fix)


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(problem: ErrorDetails, kind: type[Settings], table: str) -> UsageError:
    """A validation problem in the house's three lines."""
    location = [str(part) for part in problem["loc"]]
    key = ".".join([table, *location])
    whole = ".".join([table, *takewhile(lambda part: not part.isdecimal(), location)])  # lists have no parts
    if problem["type"] == "extra_forbidden":
        owner: Any = kind
        for part in location[:-1]:
            field = owner.model_fields.get(part) if owner else None
            owner = field.annotation if field and isinstance(field.annotation, type(Settings)) else None
        if owner and location[-1] in owner.renamed:
            new = ".".join([table, *location[:-1], owner.renamed[location[-1]]])
            return UsageError(f"there is no setting {key!r} any more", f"it is now {new}", f"--set {new}=…")
        accepted = owner.model_fields if owner else {}
        return UsageError(f"unknown setting {key!r}", closest(location[-1], accepted), "correct its name")
    if problem["type"] == "missing":
        option = "--" + location[-1].removesuffix("s").replace("_", "-")
        given = f"agentray {table} RUN" if key in _POSITIONAL else option
        is_option = whole == key and not table.startswith("env.")
        fix = f"give {given}, or --set {key}=…" if is_option else f"--set {whole}=…"
        return UsageError(f"setting {key!r} is missing", "it has no default", fix)
    why = problem["msg"].removeprefix("Value error, ")
    if not location:
        return UsageError(f"the settings of {table!r} do not fit together", why, "change one of them")
    if problem["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        near = difflib.get_close_matches(str(problem["input"]), choices, n=1, cutoff=0.5)
        why = f"did you mean {near[0]!r}? {why}" if near else why
    return UsageError(f"setting {key!r} is {problem['input']!r}", why, f"--set {whole}=…")
