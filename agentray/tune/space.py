"""The space of a sweep: which settings vary, what a trial with some of their values is, and its name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from agentray.config import Distribution, TrainConfig, TuneConfig, validated
from agentray.errors import UsageError, closest
from agentray.train.methods import build

_PER_TRIAL = {"train.out": "out", "train.data": "train.data", "train.num_steps": "train.num_steps"}
"""Settings that cannot vary, and where they are set instead."""
_LONGEST_NAME = 120


def with_values(config: TuneConfig, values: Mapping[str, Any]) -> TrainConfig:
    """The training of a trial.

    Args:
        config: The sweep.
        values: Value of each setting in its space.

    Raises:
        UsageError: There is no such setting, or it does not take the value.
    """
    table: dict[str, Any] = config.train.model_dump()
    for name, value in values.items():
        _check_name(name)
        *path, last = name.split(".")[1:]
        place = table
        for key in path:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise UsageError(
                    f"unknown setting {name!r}", f"{key!r} is {place!r}, not a table", "correct its name"
                )
        place[last] = value
    found = validated(TrainConfig, "train", table)
    build(found.method)
    return found


def _check_name(name: str) -> None:
    if not name.startswith("train."):
        known = [f"train.{each}" for each in TrainConfig.model_fields]
        raise UsageError(f"unknown setting {name!r} in tune.space", closest(name, known), "correct its name")
    if name in _PER_TRIAL:
        where = f"tune.{_PER_TRIAL[name]}"
        raise UsageError(f"{name!r} cannot vary", "it is the same for all trials", f"--set {where}=…")


def examples(config: TuneConfig) -> list[dict[str, Any]]:
    """Values that show whether the space works: each one that is listed, and each end of a range."""
    first = {name: _values(each)[0] for name, each in config.space.items()}
    return [{**first, name: value} for name, each in config.space.items() for value in _values(each)]


def _values(distribution: Distribution) -> list[Any]:
    given = distribution.grid or distribution.choice or distribution.uniform or distribution.loguniform
    return list(given or ())


def rounded(config: TuneConfig, drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a trial: those drawn from a range to six digits, which its name then shows in full."""
    ranges = {name for name, each in config.space.items() if each.uniform or each.loguniform}
    return {name: float(f"{value:.6g}") if name in ranges else value for name, value in drawn.items()}


def label(values: Mapping[str, Any]) -> str:
    """What a trial is called in tables: its value, or each setting with its value where several vary."""
    names = _short(values)
    if len(values) == 1:
        return _text(next(iter(values.values())))
    return ", ".join(f"{names[name]}={_text(value)}" for name, value in values.items()) or "base"


def directory(values: Mapping[str, Any]) -> str:
    """Name of a trial's directory, e.g. `eta-0.5,learning_rate-0.0003`."""
    names = _short(values)
    plain = ",".join(f"{names[name]}-{_text(value)}" for name, value in values.items()) or "base"
    safe = re.sub(r"[^\w.,+-]", "_", plain)[:_LONGEST_NAME]
    if safe == plain:
        return safe
    exact = json.dumps(dict(values), sort_keys=True, default=str)
    return f"{safe}-{hashlib.sha256(exact.encode()).hexdigest()[:8]}"


def _short(values: Mapping[str, Any]) -> dict[str, str]:
    """The last part of each setting's name, or the whole where two end alike."""
    last = [name.rpartition(".")[2] for name in values]
    return {name: each if last.count(each) == 1 else name for name, each in zip(values, last, strict=True)}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return json.dumps(value, default=str)
