"""Where a run's tasks come from: environments generate them, or a tasks file holds them.

    agentray tasks --env database --split test --num 100 --out tasks.jsonl
    agentray rollout --tasks tasks.jsonl --policy expert --out runs/rollout

A tasks file has one JSON object a line: `id`, `env`, `version`, `split`, `data`, `fingerprint`, and
`settings` where the environment was not built with its defaults. It is read as a stream, however long it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from agentray.config import RolloutConfig, TasksConfig
from agentray.data.stored import located
from agentray.env import TextEnvironment, build, resolve
from agentray.env.records import field, records
from agentray.errors import AgentrayError, DataError, MissingDependencyError, UsageError
from agentray.manifest import make_directory
from agentray.types import SPLITS, EnvSpec, Progress, Split, Task, silent

_SHORT_GAP = 64
"""Unwanted tasks in a row that are generated and dropped; over more of them the stream starts anew."""
_FIX = "write it with: agentray tasks --env NAME --split SPLIT --num N --out FILE"

Wanted = Callable[[str, int], bool]
"""Whether a task is wanted, by its environment and its place among that environment's tasks."""


class TaskSource(Protocol):
    """The tasks of a run, the same in the same order every time."""

    specs: list[EnvSpec]
    """The environments."""
    environments: dict[str, TextEnvironment]
    """The same, built, by id."""
    sizes: dict[str, int]
    """How many tasks each has."""

    def tasks(self, wanted: Wanted) -> Iterator[tuple[int, Task]]:
        """The wanted tasks, each after its place among those of its environment."""

    def identity(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """What tells these tasks from others, as JSON; a source that has grown since still has `before`."""


def source_of(config: RolloutConfig) -> tuple[RolloutConfig, TaskSource]:
    """The tasks that a run is about, and its settings with what a tasks file says of them.

    Raises:
        UsageError: An environment is unknown, has no such task, or its tasks are not for training.
        DataError: The tasks file has a line that is not a task, or not one of the installed environment.
    """
    if config.tasks is None:
        return config, Generated(config)
    file = TasksFile(config.tasks, config.env)
    found: dict[str, Any] = {
        "envs": list(file.sizes),
        "env": {spec.id: dict(spec.kwargs) for spec in file.specs},
        "num_tasks": max(file.sizes.values()),
    }
    if len(file.splits) == 1:
        (found["split"],) = file.splits
    return config.model_copy(update=found), file


class Generated:
    """Tasks `first_task` to `first_task + num_tasks` of a split, of each environment in turn.

    Args:
        config: Environments, split and numbers.

    Raises:
        UsageError: An environment is unknown, has no such task, or its tasks are not for training.
    """

    def __init__(self, config: RolloutConfig) -> None:
        self._split, self._first = config.split, config.first_task
        self.specs = [resolve(name, config.env.get(name)) for name in config.envs]
        self.environments = {spec.id: build(spec) for spec in self.specs}
        for environment in self.environments.values():
            _check_family(environment, config.split)
        self.sizes = {
            name: available(each, config.split, config.first_task, config.num_tasks)
            for name, each in self.environments.items()
        }

    def tasks(self, wanted: Wanted) -> Iterator[tuple[int, Task]]:
        """See `TaskSource`; tasks are generated as they are asked for."""
        for env, environment in self.environments.items():
            stream: Iterator[Task] | None = None
            at = 0
            for place in range(self.sizes[env]):
                if not wanted(env, place):
                    continue
                if stream is None or place - at > _SHORT_GAP:
                    stream, at = environment.tasks(self._split, self._first + place), place
                task = next(islice(stream, place - at, None))
                at = place + 1
                yield place, task

    def identity(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """Nothing that the settings do not say."""
        return {"tasks": None}


class TasksFile:
    """The tasks of a file, all checked before the first is played.

    Args:
        path: The file.
        settings: Settings by environment id, which win over the file's.

    Raises:
        UsageError: It cannot be read, an environment is not installed, or held-out tasks are for training.
        DataError: A line is not a task, is an altered one, or one of another version of the environment.
    """

    def __init__(self, path: Path, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self._path, self._given = path, settings
        self.specs: list[EnvSpec] = []
        self.environments: dict[str, TextEnvironment] = {}
        self._settings: dict[str, Mapping[str, Any]] = {}
        sizes: Counter[str] = Counter()
        seen: set[bytes] = set()  # of hashes: a million ids would take twice the memory
        whole = hashlib.sha256()
        splits: set[Split] = set()
        for number, task in self._lines():
            key = hashlib.blake2b(f"{task.env}\0{task.id}".encode(), digest_size=8).digest()
            if key in seen:
                self._refuse_twice(task, number)
            seen.add(key)
            whole.update(_content(task))
            sizes[task.env] += 1
            splits.add(task.split)
        self.sizes = dict(sizes)
        self.splits: frozenset[Split] = frozenset(splits)
        self._identity = {"number": sizes.total(), "digest": whole.hexdigest()[:16]}

    def tasks(self, wanted: Wanted) -> Iterator[tuple[int, Task]]:
        """See `TaskSource`; in the order of the file."""
        places: Counter[str] = Counter()
        for _, task in self._lines():
            place = places[task.env]
            places[task.env] += 1
            if wanted(task.env, place):
                yield place, task

    def identity(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """Number and digest of its first tasks: as many as `before` has, if they are the same."""
        earlier = before.get("tasks")
        if isinstance(earlier, dict) and 0 < earlier.get("number", 0) < self._identity["number"]:
            whole = hashlib.sha256()
            for _, task in islice(self._lines(), earlier["number"]):
                whole.update(_content(task))
            if whole.hexdigest()[:16] == earlier.get("digest"):
                return {"tasks": earlier}
        return {"tasks": self._identity}

    def _lines(self) -> Iterator[tuple[int, Task]]:
        """Number and content of each line."""
        return records(self._path, "a task", _FIX, self._task)

    def _task(self, line: Mapping[str, Any]) -> Task:
        """The task of a line.

        Raises:
            ValueError: It is not a task, or not one of the installed environment.
        """
        env, split = field(line, "env", str), field(line, "split", str)
        data = field(line, "data", dict)
        if split not in SPLITS:
            raise ValueError(f"its split is not one of {', '.join(SPLITS)}")
        task = Task(env, field(line, "id", str), split, data, field(line, "fingerprint", str))
        settings = field(line, "settings", dict) if "settings" in line else {}
        environment = self._environment(env, settings)
        version = field(line, "version", str)
        if version != environment.version:
            raise ValueError(f"it is of version {version!r} of {env!r}; installed is {environment.version!r}")
        _check_family(environment, split)
        try:
            environment.check_task(task)
        except (AgentrayError, ValueError):
            raise
        except Exception as error:  # a plugin meets data that it does not expect
            raise ValueError(f"{env!r} cannot read its data: {type(error).__name__}: {error}") from error
        return task

    def _environment(self, env: str, settings: Mapping[str, Any]) -> TextEnvironment:
        if env not in self.environments:
            try:
                spec, environment = located(env, {**settings, **self._given.get(env, {})})
            except (UsageError, MissingDependencyError) as error:
                what = f"{str(self._path)!r} needs the environment {env!r}: {error.what}"
                raise type(error)(what, error.why, error.fix) from error
            self.specs.append(spec)
            self.environments[env], self._settings[env] = environment, settings
        elif settings != self._settings[env]:
            raise ValueError(f"its settings differ from those of earlier tasks of {env!r}")
        return self.environments[env]

    def _refuse_twice(self, task: Task, number: int) -> None:
        """Raise where an earlier line has the task's id; equal hashes may also be chance."""
        for earlier, other in self._lines():
            if earlier == number:
                return
            if (other.env, other.id) == (task.env, task.id):
                raise DataError(
                    f"lines {earlier} and {number} of {str(self._path)!r} are both {task.id!r}",
                    "attempts are told apart by the `id` of their task",
                    "remove one, or give it another `id`",
                )


def available(environment: TextEnvironment, split: Split, first: int, number: int) -> int:
    """How many of `number` tasks from `first` on an environment has.

    Raises:
        UsageError: It has none.
    """
    if next(environment.tasks(split, first + number - 1), None) is not None:
        return number
    found = sum(1 for _ in islice(environment.tasks(split, first), number))
    if not found:
        env, data = environment.id, getattr(environment.settings, "data", None)
        raise UsageError(
            f"no task of {env!r} in split {split!r} from number {first} on",
            f"`data` is {str(data)!r} and holds none" if data else "the environment has none",
            f"give another --split, or other tasks: --set env.{env}.data=PATH",
        )
    return found


@dataclass(frozen=True)
class TasksSummary:
    """What `agentray tasks` wrote."""

    out: str
    num_tasks: Mapping[str, int]
    """By environment; one may have fewer than were asked for."""


def run(config: TasksConfig, progress: Progress = silent) -> TasksSummary:
    """Write tasks of a split to a file, which is replaced if it is there.

    Raises:
        UsageError: An environment is unknown or has no such task, or the file cannot be written.
    """
    environments = [build(resolve(name, config.env.get(name))) for name in config.envs]
    sizes = {
        each.id: available(each, config.split, config.first_task, config.num_tasks) for each in environments
    }
    lines = (
        line(each, task)
        for each in environments
        for task in islice(each.tasks(config.split, config.first_task), sizes[each.id])
    )
    write_lines(config.out, _counted(lines, sum(sizes.values()), progress))
    return TasksSummary(str(config.out), sizes)


def _counted(lines: Iterable[dict[str, Any]], total: int, progress: Progress) -> Iterator[dict[str, Any]]:
    for number, each in enumerate(lines, 1):
        yield each
        progress(number, total)


def line(environment: TextEnvironment, task: Task) -> dict[str, Any]:
    """A task as a line of a tasks file."""
    settings = environment.settings.model_dump(mode="json", exclude_unset=True)
    return {
        "id": task.id,
        "env": task.env,
        "version": environment.version,
        "split": task.split,
        "data": dict(task.data),
        "fingerprint": task.fingerprint,
        **({"settings": settings} if settings else {}),
    }


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines so that a reader sees the old file or the new one, never half of one.

    Raises:
        UsageError: The file cannot be written.
    """
    make_directory(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in lines)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise UsageError(
            f"cannot write {str(path)!r}", error.strerror or str(error), "give another --out FILE"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _check_family(environment: TextEnvironment, split: str) -> None:
    """Refuse to collect training data where results are claimed for tasks that are never trained on.

    Raises:
        UsageError: The environment is held out, and the split is for training.
    """
    if environment.family == "held_out" and split == "train":
        raise UsageError(
            f"environment {environment.id!r} is held out, and the split is 'train'",
            "held-out tasks are never trained on",
            "give --split test, or tasks of a held-in environment",
        )


def _content(task: Task) -> bytes:
    """All of a task, for a digest."""
    return json.dumps([task.env, task.id, task.split, task.data], sort_keys=True).encode() + b"\n"
