"""A recipe: a whole loop in one TOML file, a table per stage.

    out = "runs/loop"
    [settings]                      # what `--set settings.KEY=VALUE` changes
    num_tasks = 200
    [stages.experts]
    run = "rollout"                 # the stage's command; its settings follow
    envs = ["count"]
    num_tasks = "{num_tasks}"       # a setting
    [stages.kept]
    run = "filter"
    runs = ["{experts}"]            # the output of another stage

Stages run in the order of their references. `beside = "NAME"` begins a stage together with another, on the
same engines; `when = "{SETTING}"` skips it where the setting is empty, 0 or false.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from pathlib import Path
from typing import Any

from agentray.config.loading import parse_override
from agentray.errors import UsageError, closest
from agentray.plugins import Seam
from agentray.recipes.references import references
from agentray.recipes.stages import KINDS

RECIPES = Seam(
    "recipe",
    {"quickstart": "agentray.recipes:quickstart.toml"},
    "give the path of a TOML file, or one of these names",
)
_TOP = ("out", "extends", "settings", "env", "stages", "pace", "results")
_OWN = ("run", "when", "beside", "after")
"""Keys of a stage's table that are the recipe's, not the stage's."""


@dataclass(frozen=True)
class Step:
    """One stage of a recipe, as written: references stand in its settings."""

    name: str
    run: str
    """Kind of stage: `rollout`, `filter`, ..."""
    settings: Mapping[str, Any]
    when: Any = True
    beside: str | None = None
    after: tuple[str, ...] = ()

    def needs(self) -> set[str]:
        """Names that it refers to: settings and stages."""
        found = {name for name, _ in references([dict(self.settings), self.when])}
        return found | set(self.after)


@dataclass(frozen=True)
class Recipe:
    """A loop, checked as far as it can be without running it."""

    name: str
    out: Path
    settings: Mapping[str, Any]
    steps: Mapping[str, Step]
    env: Mapping[str, Any] = field(default_factory=dict)
    """Settings of environments, for every stage that takes them."""
    pace: Mapping[str, Any] = field(default_factory=dict)
    """What its stages take; see `pace.py`."""
    results: Mapping[str, str] = field(default_factory=dict)
    """What it leaves, by name; a directory becomes a link in `out`."""

    def directory(self, step: Step) -> Path:
        """Where a stage writes; of one that writes a file, that file."""
        return Path(step.settings.get("out", self.out / f"{step.name}{KINDS[step.run].suffix}"))

    def groups(self) -> list[list[Step]]:
        """Stages in the order in which they run; those of one group run together."""
        leader = {step.name: _leader(step, self.steps) for step in self.steps.values()}
        members: dict[str, list[Step]] = {}
        for step in self.steps.values():
            members.setdefault(leader[step.name], []).append(step)
        graph: dict[str, set[str]] = {}
        for name, steps in members.items():
            needed = {step.name: step.needs() & self.steps.keys() for step in steps}
            for each, others in needed.items():
                if within := [other for other in others if leader[other] == name]:
                    raise _cycle([each, within[0], *([each] if within[0] != each else [])])
            graph[name] = {leader[other] for others in needed.values() for other in others}
        order = _sorted(graph)
        return [sorted(members[name], key=lambda step: step.name != name) for name in order]


def load_recipe(
    name: str, *, out: Path | None = None, overrides: Sequence[str] = (), aliases: Iterable[str] = ()
) -> Recipe:
    """The recipe of a name or TOML file, with `--set table.key=value` applied.

    Args:
        name: A registered recipe, or the path of a file.
        out: Where its stages write; None keeps the recipe's own.
        overrides: `settings.KEY=VALUE`, `STAGE.KEY=VALUE` or `env.ENV.KEY=VALUE`; the recipe's name may stand
            for `settings`.
        aliases: Further words for `settings`.

    Raises:
        UsageError: There is no such recipe, or it is wrong: an unknown key, stage, setting or reference, a
            cycle, or two stages that write one directory.
    """
    document, title = _read(name)
    for override in overrides:
        _apply(override, document, {"settings", title, *aliases})
    steps = {key: _step(key, table, title) for key, table in document["stages"].items()}
    recipe = Recipe(
        name=title,
        out=out or Path(document.get("out", f"runs/{title}")),
        settings=document.get("settings", {}),
        steps=steps,
        env=document.get("env", {}),
        pace=document.get("pace", {}),
        results=document.get("results", {}),
    )
    _check(recipe)
    return recipe


def _read(name: str) -> tuple[dict[str, Any], str]:
    """The document of a recipe, merged over the one it extends; and its title."""
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        title, where = path.stem, str(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UsageError(f"no recipe {name!r}", "the file does not exist", "correct its path") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {name!r}", str(error), "give a TOML file") from error
    else:
        module, _, resource = RECIPES.entry_point(name).partition(":")
        title, where = name, f"the recipe {name!r}"
        text = files(module).joinpath(resource).read_text(encoding="utf-8")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"cannot read {where}", str(error), "correct the file") from error
    for key in document:
        if key not in _TOP:
            raise UsageError(f"{where} has the unknown key {key!r}", closest(key, _TOP), "correct its name")
    base = document.pop("extends", None)
    if base is not None:
        document = _merged(_read(str(base))[0], document)
    if not isinstance(document.get("stages"), dict) or not document["stages"]:
        raise UsageError(f"{where} has no stages", "it is no recipe without them", "add [stages.NAME]")
    return document, title


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """One document over another, table by table."""
    both = {
        key: _merged(base[key], over[key]) for key in base.keys() & over.keys() if _tables(base, over, key)
    }
    return {**base, **over, **both}


def _tables(base: Mapping[str, Any], over: Mapping[str, Any], key: str) -> bool:
    return isinstance(base[key], Mapping) and isinstance(over[key], Mapping)


def _apply(override: str, document: dict[str, Any], settings: set[str]) -> None:
    """Write one `table.key=value` into a document."""
    keys, value = parse_override(override, "STAGE")
    first, *rest = keys
    stages = document["stages"]
    if first in settings:
        table: dict[str, Any] = document.setdefault("settings", {})
        if len(rest) == 1 and rest[0] not in table:
            raise UsageError(f"the recipe has no setting {rest[0]!r}", closest(rest[0], table), "correct it")
    elif first in stages:
        table = stages[first]
    elif first == "env":
        table = document.setdefault("env", {})
    else:
        known = ["settings", "env", *stages]
        raise UsageError(f"--set {override!r} names no table", closest(first, known), "correct its name")
    for key in rest[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            raise UsageError(
                f"{key!r} in --set {override!r} is not a table", f"it is {inner!r}", "correct it"
            )
        table = inner
    table[rest[-1]] = value


def _step(name: str, table: Any, recipe: str) -> Step:
    """A stage from its table."""
    if not isinstance(table, dict) or not isinstance(table.get("run"), str):
        fix = f'add run = "rollout" or another of {", ".join(KINDS)}'
        raise UsageError(f"stage {name!r} of {recipe!r} does not say what it runs", "`run` is missing", fix)
    if table["run"] not in KINDS:
        raise UsageError(
            f"stage {name!r} runs {table['run']!r}",
            closest(table["run"], KINDS),
            f"correct stages.{name}.run",
        )
    after = table.get("after", [])
    return Step(
        name=name,
        run=table["run"],
        settings={key: value for key, value in table.items() if key not in _OWN},
        when=table.get("when", True),
        beside=table.get("beside"),
        after=tuple([after] if isinstance(after, str) else after),
    )


def _check(recipe: Recipe) -> None:
    """Refuse references to nothing, cycles, and two stages that write one directory."""
    known = {"out", *recipe.settings, *recipe.steps}
    if both := sorted(recipe.settings.keys() & recipe.steps.keys()):
        raise UsageError(
            f"{both[0]!r} is a setting and a stage of {recipe.name!r}",
            "a reference could mean either",
            "rename one",
        )
    for step in recipe.steps.values():
        named = step.needs() - known
        if step.beside is not None and step.beside not in recipe.steps:
            named.add(step.beside)
        for name in sorted(named):
            raise UsageError(
                f"stage {step.name!r} refers to {name!r}",
                f"the recipe has no such stage or setting; {closest(name, known)}",
                f"correct stages.{step.name}",
            )
    if both := sorted(recipe.results.keys() & recipe.steps.keys()):
        raise UsageError(
            f"{both[0]!r} is a stage and a result of {recipe.name!r}",
            "the result is linked where the stage writes",
            "rename one",
        )
    for value in recipe.results.values():
        for name, _ in references(value):
            if name not in known:
                raise UsageError(f"[results] refers to {name!r}", closest(name, known), "correct its name")
    writers: dict[Path, str] = {}
    for step in recipe.steps.values():
        if not KINDS[step.run].writes:
            continue
        place = recipe.directory(step).resolve()
        if place in writers:
            raise UsageError(
                f"stages {writers[place]!r} and {step.name!r} write one directory",
                str(place),
                f"give stages.{step.name}.out another one, or leave it to the recipe",
            )
        writers[place] = step.name
    recipe.groups()


def _leader(step: Step, steps: Mapping[str, Step]) -> str:
    """The stage with which a stage begins, itself where it begins alone."""
    seen = [step.name]
    while step.beside is not None:
        step = steps[step.beside]
        if step.name in seen:
            raise _cycle([*seen, step.name])
        seen.append(step.name)
    return step.name


def _sorted(graph: Mapping[str, set[str]]) -> list[str]:
    """Names in an order in which each comes after what it needs, else in the order of the file."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise _cycle(list(reversed(error.args[1]))) from error
    order: list[str] = []
    while len(order) < len(graph):
        order.append(next(name for name in graph if name not in order and graph[name] <= set(order)))
    return order


def _cycle(names: Sequence[str]) -> UsageError:
    return UsageError(
        "the recipe's stages wait for each other", " needs ".join(map(repr, names)), "remove one reference"
    )
