"""The body of a request, and how it changes for an endpoint that refuses a parameter.

Servers differ in which sampling parameters they take. What one refuses is renamed or omitted once, for the
rest of the run, and recorded: the sampling is then not quite what the settings say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentray.policy.refusals import Complaint
from agentray.types import Message, Sampling

_REFUSING = (
    "unsupported",
    "not support",
    "does not support",
    "not permitted",
    "not allowed",
    "unrecognized",
    "unexpected",
    "unknown",
    "cannot both",
    "cannot be specified",
    "cannot specify",
    "only one of",
    "use only one",
    "not both",
    "extra_forbidden",
    "extra inputs",
    "extra fields",
    "deprecated",
    "not available",
    "must be",
    "no longer",
    "invalid",
    "only the default",
    "remove",
)
_PARAMETERS = ("max_completion_tokens", "max_tokens", "temperature", "top_p", "seed")
_LEAST_TEMPERATURE = 0.01
"""Sent where 0 is refused as not positive: greedy in all but name."""


class Request:
    """How one endpoint is asked."""

    def __init__(self, model: str | None) -> None:
        self.model = model
        self.limit = "max_tokens"
        """Name of the parameter for the longest reply."""
        self.without: frozenset[str] = frozenset()
        """Parameters that are omitted."""
        self.least_temperature = 0.0
        self.fold_system = False
        """Whether the system message goes into the first user message."""
        self.adapted: tuple[str, ...] = ()
        """What is not as usual, in words."""

    def payload(self, messages: Sequence[Message], sampling: Sampling) -> dict[str, Any]:
        """The body as plain data."""
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": each.role, "content": each.content} for each in messages],
            "temperature": sampling.temperature,
            self.limit: sampling.max_tokens,
            "top_p": sampling.top_p,
        }
        if sampling.seed is not None:
            asked["seed"] = sampling.seed
        if self.adapted:
            self._adapt_payload(asked)
        return asked

    def _adapt_payload(self, asked: dict[str, Any]) -> None:
        for name in self.without:
            asked.pop(name, None)
        if "temperature" in asked:
            asked["temperature"] = max(asked["temperature"], self.least_temperature)
        if self.fold_system:
            asked["messages"] = _folded(asked["messages"])

    def adapt(self, refused: dict[str, Any], complaint: Complaint) -> bool:
        """Change what an endpoint complained about; whether asking again makes sense.

        Args:
            refused: The body that it refused.
            complaint: Its complaint.
        """
        if self._changed_since(refused):
            return True
        first = refused["messages"][0]["role"] if refused["messages"] else None
        if (
            first == "system"
            and not self.fold_system
            and "system" in complaint.said
            and "role" in complaint.said
        ):
            self.fold_system = True
            self._note("the system message is part of the first user message")
            return True
        name = self._culprit(refused, complaint)
        if name is None:
            return False
        if name == "max_tokens" and self.limit == "max_tokens":
            self.limit = "max_completion_tokens"
            self._note("max_tokens is sent as max_completion_tokens")
        elif (
            name == "temperature"
            and refused[name] == 0
            and complaint.has(("positive", "greater than 0", "> 0"))
        ):
            self.least_temperature = _LEAST_TEMPERATURE
            self._note(f"temperature 0 is sent as {_LEAST_TEMPERATURE}")
        else:
            self.without |= {name}
            self._note(f"{name} is left out")
        return True

    def _changed_since(self, refused: dict[str, Any]) -> bool:
        """Whether another request has already led to a change that this one lacked."""
        if any(name in refused for name in self.without) or self.limit not in refused.keys() | self.without:
            return True
        if self.fold_system and refused["messages"][0]["role"] == "system":
            return True
        return "temperature" in refused and refused["temperature"] < self.least_temperature

    @staticmethod
    def _culprit(refused: dict[str, Any], complaint: Complaint) -> str | None:
        """The parameter that the complaint is about."""
        if not complaint.parameter and not complaint.has(_REFUSING):
            return None
        sent = [name for name in _PARAMETERS if name in refused]
        if (
            "temperature" in sent
            and "top_p" in sent
            and "temperature" in complaint.said
            and "top_p" in complaint.said
        ):
            return "top_p"
        for text in (complaint.parameter, complaint.said if complaint.has(_REFUSING) else ""):
            found = [name for name in sent if name in text]
            if "max_tokens" in sent and "max_completion_tokens" in text and "max_tokens" in text:
                return "max_tokens"
            if found and not _is_too_much(found[0], complaint):
                return found[0]
        return None

    def _note(self, what: str) -> None:
        self.adapted = (*self.adapted, what)


def _is_too_much(name: str, complaint: Complaint) -> bool:
    """Whether a limit is refused for its size: then the setting is wrong, not its name."""
    return name.startswith("max_") and complaint.has(
        ("too large", "at most", "valid range", "less than", "maximum")
    )


def _folded(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """Messages whose system message stands before the first user message's text."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    text = f"{messages[0]['content']}\n\n{messages[1]['content']}"
    return [{"role": "user", "content": text}, *messages[2:]]
