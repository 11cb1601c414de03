"""The results of a general suite: `suite.json`, with scores on each benchmark's own scale.

{"suite": "general", "policy": "smollm2-135m", "tasks": {"mmlu": {"score": 25.0, "n": 100, "failed": 0}}}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, FiniteFloat, StrictInt, ValidationError

from agentray.errors import DataError

SUITE = "suite.json"


class SuiteTask(BaseModel):
    """One benchmark; what else its entry holds is kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    score: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None
    """None where it was not scored."""
    n: StrictInt = Field(0, ge=0)
    """Questions that were scored."""
    failed: StrictInt = Field(0, ge=0)
    """Questions that an infrastructure failure ended."""
    interval: tuple[FiniteFloat, FiniteFloat] | None = None
    scale: str = ""
    skipped: str | None = None
    """Why it was not run."""
    unjudged: StrictInt = 0
    """Answers that no judge rated."""
    synthetic: bool = Field(False, validation_alias=AliasChoices("synthetic", "stand_in"))
    """Whether the questions were generated instead of the benchmark's own."""


class SuiteResult(BaseModel):
    """How one policy did in a suite."""

    model_config = ConfigDict(extra="allow", frozen=True)

    suite: str = "suite"
    policy: Annotated[str, Field(min_length=1)]
    tasks: Annotated[dict[str, SuiteTask], Field(min_length=1)]


def read_suite(directory: Path) -> SuiteResult:
    """What a directory's `suite.json` says.

    Raises:
        DataError: There is none, or it does not hold the results of a suite.
    """
    path = directory / SUITE
    try:
        return SuiteResult.model_validate_json(path.read_bytes())
    except OSError as error:
        why = error.strerror or str(error)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        why = f"{place}: {first['msg']}" if place else first["msg"]
    raise DataError(
        f"cannot read {str(path)!r}", why, "give a directory that `agentray evaluate --suite` wrote"
    )
