"""What every stage does around its work: check its output directory, know its earlier run, time it, sign it.

A stage makes a `Stage`, returns what `finished` has, if it has anything, calls `begin`, does its work and
returns what `complete` makes of its summary.

A stage with an `identity` resumes: the same identity in the same directory is the same run. One without is
made anew every time, in a directory that is emptied first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from agentray import manifest
from agentray.config import Settings
from agentray.errors import DataError, UsageError

S = TypeVar("S")
PLAN = "plan.json"


class Stage(Generic[S]):
    """One run of a stage.

    Args:
        name: As the command is called.
        config: Its settings.
        out: The directory it writes.
        summary: Dataclass of its result; what `complete` writes and `finished` returns.
        inputs: Files and directories it reads.
        identity: Settings that decide its result, as JSON; None where it is always made anew.
        growing: Keys of the identity that may change between a run and its continuation.
    """

    def __init__(
        self,
        name: str,
        config: Settings,
        out: Path,
        summary: type[S],
        *,
        inputs: Sequence[Path] = (),
        identity: Mapping[str, Any] | None = None,
        growing: Collection[str] = (),
    ) -> None:
        self._started_s = time.monotonic()
        self.name, self.config, self.out = name, config, out
        self._summary, self._inputs = summary, inputs
        self._identity, self._growing = identity, growing
        if identity is None:
            manifest.check_output(out, name, inputs)

    @property
    def wall_s(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._started_s

    def finished(self) -> S | None:
        """The result of this very run, if the directory holds it complete.

        Raises:
            UsageError: The directory holds another run, or the output of another stage.
        """
        if self._identity is None or not manifest.is_complete(self.out):
            return None
        document = manifest.read(self.out)
        if document.stage != self.name:
            raise UsageError(
                f"{str(self.out)!r} holds the output of another stage",
                f"it is {document.stage!r}",
                "give another --out",
            )
        before = self.check()
        if self._identity and not before:
            raise UsageError(
                f"{str(self.out)!r} holds a run of an earlier version of agentray",
                f"it has no {PLAN}, so it cannot be told whether it is this one",
                "give another --out",
            )
        if self._grew(before):
            return None
        known = {field.name for field in fields(self._summary)}  # type: ignore[arg-type]
        return self._summary(**{key: value for key, value in document.counts.items() if key in known})

    def begin(self, facts: Mapping[str, Any] | None = None) -> None:
        """Make the directory ready: emptied for a stage that is made anew, claimed for one that resumes.

        Args:
            facts: What else `plan.json` says, as JSON; see `note`.

        Raises:
            UsageError: It is a file, holds something else, or another run.
        """
        if self._identity is None:
            manifest.start_over(self.out, self.name, self._inputs)
            return
        manifest.make_directory(self.out)
        if self._grew(self.check()):  # the manifest is of the run that this one goes on with
            (self.out / manifest.NAME).unlink(missing_ok=True)
        self.note(facts or {})

    def note(self, facts: Mapping[str, Any]) -> None:
        """Write `plan.json`: the identity, and facts that may differ between a run and its continuation."""
        manifest.write_json(self.out / PLAN, {**facts, **(self._identity or {})})

    def complete(self, summary: S, within: Mapping[str, Any] | None = None) -> S:
        """Write the manifest, which says that the stage is complete; returns the summary.

        Args:
            summary: Its result.
            within: Counts of a stage that this one ran in the same directory; its own replace equal ones.
        """
        inputs = {
            str(path): manifest.digest(path)
            for path in self._inputs
            if path.is_file() or manifest.is_complete(path)
        }
        document = manifest.Manifest(
            stage=self.name,
            config=self.config.model_dump(mode="json"),
            counts={**(within or {}), **asdict(summary)},  # type: ignore[call-overload]
            inputs=inputs,
            wall_s=self.wall_s,
        )
        manifest.write(self.out, document)
        return summary

    def _grew(self, before: Mapping[str, Any]) -> bool:
        """Whether this run goes further than the one whose `plan.json` is given."""
        identity = self._identity or {}
        return any(before.get(key) != identity[key] for key in self._growing if key in identity)

    def check(self) -> Mapping[str, Any]:
        """What `plan.json` says; empty where there is none. `begin` and `finished` check too.

        Raises:
            UsageError: It is of another run; the message names the differences.
            DataError: It cannot be read.
        """
        if self._identity is None:
            return {}
        before = read_plan(self.out)
        now = json.loads(json.dumps(self._identity, default=str))
        keys = before.keys() & (now.keys() - set(self._growing))  # an earlier version may have had fewer
        different = [key for key in now if key in keys and before[key] != now[key]]
        if different:
            changes = (f"{key}: {before.get(key)!r} there, {now[key]!r} here" for key in different)
            raise UsageError(f"{str(self.out)!r} holds another run", ", ".join(changes), "give another --out")
        return before


def read_plan(out: Path) -> dict[str, Any]:
    """What `plan.json` in the output of a stage that resumes says; empty where there is none.

    Raises:
        DataError: It cannot be read.
    """
    path = out / PLAN
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"cannot read {str(path)!r}",
            f"it does not hold a plan: {error}",
            "give another --out, or remove the file if the settings are those that the run began with",
        ) from error
