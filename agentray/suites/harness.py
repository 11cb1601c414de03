"""lm-eval's tasks by name: its YAML, its prompts, its scoring and its standard errors.

Only what a task must not do is ours: code that a model wrote never runs in this process, so tasks that
would run it are refused before lm-eval imports their functions. All uses of lm-eval's private names are here,
as of 0.4.13.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from lm_eval.evaluator import evaluate
from lm_eval.tasks import TaskManager
from lm_eval.tasks._factory import TaskFactory

from agentray.errors import AgentrayError, DataError, MissingDependencyError, UsageError
from agentray.suites.documents import Wanted, local_documents

_FEWSHOT_SEED = 1234
"""lm-eval's own."""
_BOOTSTRAP = 1000
_RUNS_CODE = frozenset({"exec", "eval", "system", "popen", "parse_expr", "sympify"})
"""Functions that run text as code; sympy's parsers do."""
_RUNS_CODE_MODULES = frozenset({"subprocess", "pickle"})


class Loaded(NamedTuple):
    """A name of lm-eval with all that belongs to it."""

    name: str
    tasks: Mapping[str, Any]
    """lm-eval's task objects by name."""
    groups: Mapping[str, Any]


def known(name: str, ours: Sequence[str]) -> None:
    """Check that lm-eval has a task, group or tag of a name.

    Args:
        name: What was asked for.
        ours: Names that are not lm-eval's, which may be meant.

    Raises:
        UsageError: There is no such name.
    """
    if name in _manager().task_index:
        return
    near = get_close_matches(name, [*ours, *_manager().task_index], 3)
    why = "neither agentray nor lm-eval has a benchmark of this name"
    if near:
        why = f"did you mean {near[0]!r}? near it: {', '.join(near)}"
    raise UsageError(
        f"unknown benchmark {name!r}",
        why,
        "give --suite general, or the name of a task, group or tag of lm-eval",
    )


def load(name: str, data: Path | None, num_fewshot: int | None = None) -> Loaded:
    """The tasks of a name, with their documents.

    Args:
        name: Of a task, group or tag.
        data: Directory of the data sets; None asks the hub.
        num_fewshot: Worked examples; None takes the task's own number.

    Raises:
        UsageError: The name or a file is unknown, or the task cannot be run here.
        DataError: A file does not hold what the task needs.
        MissingDependencyError: The task needs a package that is not installed.
    """
    manager = _manager()
    manager._factory = factory = _Factory(name, num_fewshot)
    documents = nullcontext() if data is None else local_documents(data, lambda: factory.wanted)
    with documents, _explained(lambda: factory.wanted.task, data):
        found = manager.load([name])
    for task in found["tasks"].values():
        _check(task)
        if num_fewshot is not None or task.get_config("num_fewshot") is None:
            task.set_config("num_fewshot", num_fewshot or 0)
        task.set_fewshot_seed(_FEWSHOT_SEED)
        if task.OUTPUT_TYPE != "generate_until" or task.get_config("gen_prefix"):
            task.build_all_requests = _plain(task.build_all_requests)
    return Loaded(name, found["tasks"], found["groups"])


def score(loaded: Loaded, model: Any, limit: int | None) -> Mapping[str, Any]:
    """What lm-eval makes of a model's answers: its result document.

    Args:
        loaded: The tasks.
        model: lm-eval's `LM`; its `failed` holds the documents of each task without an answer, which count
            nowhere.
        limit: Documents of each task; None takes all.

    Raises:
        DataError: A document or an answer is not what the task expects.
    """
    for name, task in loaded.tasks.items():
        task.process_results = _answered(task.process_results, model.failed[name])
    tasks = {"tasks": dict(loaded.tasks), "groups": dict(loaded.groups)}
    with _explained(lambda: loaded.name, None), redirect_stdout(sys.stderr):
        found: Mapping[str, Any] = evaluate(
            lm=model,
            task_dict=tasks,
            limit=limit,
            bootstrap_iters=_BOOTSTRAP,
            log_samples=False,
            apply_chat_template=True,
            fewshot_as_multiturn=True,
        )
    return found


class _Factory(TaskFactory):  # type: ignore[misc]
    """Makes tasks; refuses those that run code before their functions are imported."""

    def __init__(self, name: str, num_fewshot: int | None) -> None:
        super().__init__()
        self._num_fewshot = num_fewshot
        self.wanted = Wanted(name, ())
        """The task that is being made."""

    def _build_task(self, entry: Any, overrides: Any) -> Any:
        config = {**(entry.cfg or {}), **(overrides or {})}
        self.wanted = Wanted(entry.name, _splits(config, self._num_fewshot))
        refuse_code(entry.name, config)
        _check_sentences(entry.name, config)
        return super()._build_task(entry, overrides)


def _splits(config: Mapping[str, Any], num_fewshot: int | None) -> list[str]:
    """The splits that a task is asked from, and takes its worked examples from."""
    shots = config.get("fewshot_config") or {}
    wanted = [config.get("test_split") or config.get("validation_split")]
    if (num_fewshot or config.get("num_fewshot")) and not shots.get("samples"):
        places = (shots.get("split"), *map(config.get, ("fewshot_split", "training_split")))
        wanted.append(next(filter(None, places), config.get("validation_split")))
    return list(dict.fromkeys(each for each in wanted if isinstance(each, str)))


@cache
def _manager() -> Any:
    """lm-eval's index of its tasks; it reads thousands of files."""
    return TaskManager()


def refuse_code(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a task that says, or whose functions show, that it runs code.

    Args:
        name: The task.
        config: Its YAML, with functions as `PATH.FUNCTION`.

    Raises:
        UsageError: The task runs code.
    """
    why = "its YAML says unsafe_code" if config.get("unsafe_code") else None
    seen: set[Path] = set()
    for reference in _references(config):
        why = why or _runs_code(Path(f"{reference.rpartition('.')[0]}.py"), seen)
    if why:
        own = "humaneval" if name.startswith("humaneval") else "general"
        raise UsageError(
            f"the task {name!r} runs code that the model wrote",
            f"{why}; lm-eval would run it in this process, without a sandbox",
            f"give another task; agentray's own --suite {own} runs code in its sandbox",
        )


def _references(value: Any) -> Iterator[str]:
    """All functions that a YAML names."""
    if isinstance(value, str):
        if value.startswith("/") and "\n" not in value:
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _runs_code(path: Path, seen: set[Path]) -> str | None:
    """Where a module or one that it imports from its own folder runs code; None where neither does."""
    if path in seen or not path.is_file():
        return None
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Call):
            function = node.func
            called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            own = isinstance(function, ast.Name) or called in ("system", "popen", "parse_expr", "sympify")
            if own and called in _RUNS_CODE:
                return f"{path.name}:{node.lineno} calls {called}"
            if any(isinstance(each, ast.Constant) and each.value == "code_eval" for each in node.args):
                return f"{path.name}:{node.lineno} loads code_eval"
        elif isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(each.name for each in node.names)]
        for name in names:
            if name.partition(".")[0] in _RUNS_CODE_MODULES:
                return f"{path.name}:{getattr(node, 'lineno', 0)} imports {name}"
            inner = _runs_code(path.with_name(f"{name.rpartition('.')[2]}.py"), seen)
            if inner:
                return inner
    return None


def _check(task: Any) -> None:
    """Refuse a task that is not text alone.

    Raises:
        UsageError: It shows images or sounds.
    """
    if getattr(task, "MULTIMODAL", False):
        raise UsageError(
            f"the task {task.task_name!r} shows images or sounds",
            "what is asked here is text",
            "give another task",
        )


def _check_sentences(name: str, config: Mapping[str, Any]) -> None:
    """Check that IFEval's functions find nltk's data, which they would load from the internet.

    Raises:
        MissingDependencyError: They do not.
    """
    if not any("/ifeval/" in each for each in _references(config)):
        return
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError as error:
        raise MissingDependencyError(
            f"the task {name!r} needs data of nltk",
            "tokenizers/punkt_tab is in none of nltk's directories",
            "python -m nltk.downloader punkt_tab, or NLTK_DATA=DIR with DIR/tokenizers/punkt_tab",
        ) from error


def _plain(build: Callable[..., Any]) -> Callable[..., Any]:
    """Requests as plain text: likelihoods, and replies of which the prompt gives the beginning."""

    def made(**how: Any) -> Any:
        return build(**{**how, "apply_chat_template": False, "chat_template": None})

    return made


def _answered(process: Callable[..., Any], failed: list[Any]) -> Callable[..., Any]:
    """A task's scoring without the documents that got no answer."""

    def scored(document: Any, results: Any) -> Any:
        return {} if document in failed else process(document, results)

    return scored


@contextmanager
def _explained(task: Callable[[], str], data: Path | None) -> Iterator[None]:
    """Say in three lines what lm-eval's tasks raise, which may be anything."""
    try:
        yield
    except AgentrayError:
        raise
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        raise MissingDependencyError(
            f"the task {task()!r} needs a package that is not installed",
            " ".join(str(error).split()),
            f"pip install {package or 'it'}",
        ) from error
    except Exception as error:
        raise DataError(
            f"lm-eval cannot use the data of {task()!r}",
            f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            "give --data DIR with the task's data set"
            if data is None
            else f"correct its files in {str(data)!r}",
        ) from error
