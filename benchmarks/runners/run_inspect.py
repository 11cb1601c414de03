"""inspect_ai: the game as a custom solver and scorer, run by `eval` with its log, without its live display.

`benchmarks/rollout.py` starts it, in an environment that holds inspect_ai and the `openai` SDK. `--tuned`
also turns off what a watcher of the run would see: the real-time log, the running score and the control
socket.
"""

from __future__ import annotations

import tempfile

from counting import MODEL, SAMPLING, Game, arguments, measure
from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageUser, GenerateConfig, get_model
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

QUIET = {"log_realtime": False, "score_display": False, "log_model_api": False, "ctl_server": False}
"""Settings of `eval` without what serves a watcher only."""


@solver
def counting() -> Solver:
    """Play the game that the sample names."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        game = Game.begin(state.metadata["start"])
        while not game.done:
            state = await generate(state)
            state.messages.append(ChatMessageUser(content=game.step(state.output.completion)))
        state.metadata["reward"] = game.reward
        return state

    return solve


@scorer(metrics=[mean()])
def right() -> Scorer:
    """The game's reward."""

    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=state.metadata["reward"])

    return score


def sample(start: int) -> Sample:
    """One game as a sample."""
    kinds = {"user": ChatMessageUser, "assistant": ChatMessageAssistant}
    opening = Game.begin(start).opening()
    messages: list[ChatMessage] = [kinds[each["role"]](content=each["content"]) for each in opening]
    return Sample(input=messages, metadata={"start": start})


def rewards(logs: list[EvalLog]) -> list[float | None]:
    """The scores in a log, read back from its file."""
    scores = [(each.scores or {}).get("right") for each in logs[0].samples or []]
    return [score.value if score else None for score in scores]


def main() -> None:
    """Command line."""
    given = arguments(__doc__)
    config = GenerateConfig(max_connections=given.in_flight, **SAMPLING)
    settings = QUIET if given.tuned else {}
    with tempfile.TemporaryDirectory(prefix="agentray-benchmark-") as folder:

        def play(games: list[int]) -> list[EvalLog]:
            model = get_model(f"openai-api/mock/{MODEL}", config=config, base_url=given.url, api_key="none")
            samples = MemoryDataset([sample(start) for start in games])
            task = Task(dataset=samples, solver=counting(), scorer=right())
            logs: list[EvalLog] = eval(
                task, model=model, max_samples=given.in_flight, display="none", log_dir=folder, **settings
            )
            return logs

        measure(given, play, rewards, ("inspect_ai", "openai", "httpx2"))


if __name__ == "__main__":
    main()
