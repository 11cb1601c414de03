"""What workers leave for the driver when they fail: the user's error, and where the weights so far are.

Ray Train hands the driver an error only after it has restarted the workers as often as it may. A file in the
run directory says more, and earlier: restarted workers that find a final failure end at once.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from agentray import errors
from agentray.errors import AgentrayError
from agentray.manifest import write_json

_FILE = "failure.json"


@dataclass(frozen=True)
class Failure:
    """An error for the user."""

    kind: str
    """Class in `agentray.errors`."""
    what: str
    why: str
    fix: str
    step: int = 0
    """Optimizer steps that were made."""
    final: bool = False
    """Whether a restart would end the same way."""

    def error(self) -> AgentrayError:
        """The error to raise."""
        kind: type[AgentrayError] = getattr(errors, self.kind)
        return kind(self.what, self.why, self.fix)


def final(error: AgentrayError) -> Failure:
    """The failure that a user's error is: no restart fixes it."""
    return Failure(type(error).__name__, error.what, error.why, error.fix, final=True)


def after_steps(error: Exception, step: int, where: str) -> Failure:
    """The failure of a run that had made steps.

    Args:
        error: What ended it.
        step: Optimizer steps that were made.
        where: Where their weights are.
    """
    words = " ".join(str(error).split()) or "no message"
    return Failure(
        "ResourceError",
        f"training failed after step {step}",
        f"{type(error).__name__}: {words}",
        f"the weights after step {step} are kept: {where}",
        step,
    )


def record(out: Path, failure: Failure) -> None:
    """Write a failure, unless one of as many steps is there: the first worker to fail knows best why."""
    before = read(out)
    if before is None or failure.final or failure.step > before.step:
        write_json(out / _FILE, asdict(failure))


def read(out: Path) -> Failure | None:
    """The failure that workers recorded, if there is one."""
    try:
        return Failure(**json.loads((out / _FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def clear(out: Path) -> None:
    """Forget a failure of an earlier start."""
    (out / _FILE).unlink(missing_ok=True)
