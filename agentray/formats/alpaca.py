"""Alpaca's instruction, input and output, after a history of pairs. Only read."""

from __future__ import annotations

from typing import Any

from agentray.formats.base import Format, Record
from agentray.formats.reasons import Unusable, short
from agentray.formats.turns import holds


class Alpaca(Format):
    """Records such as `{"instruction": "Add.", "input": "2+2", "output": "4"}`."""

    fields = frozenset({"instruction", "input", "context", "output", "response", "history"})

    def fits(self, record: Record) -> bool:
        """Whether it has an instruction and an output."""
        return "instruction" in record and bool({"output", "response"} & record.keys())

    def turns(self, record: Record) -> list[Any]:
        """The history's pairs, then the instruction, its input on a new line, and the output."""
        history = record.get("history") or []
        if not isinstance(history, list) or not all(
            isinstance(each, list) and len(each) == 2 for each in history
        ):
            raise Unusable("bad_field", f"history is {short(history)}, not a list of pairs")
        given, output = _one_of(record, "input", "context"), _one_of(record, "output", "response")
        if given is not None and not isinstance(given, str):
            raise Unusable("bad_content", f"the input is {short(given)}")
        asked = record["instruction"]
        if isinstance(asked, str) and isinstance(given, str) and given.strip():
            asked = f"{asked}\n{given}" if asked.strip() else given
        return [
            {"role": role, "content": text}
            for pair in [*history, (asked, output)]
            for role, text in zip(("user", "assistant"), pair, strict=True)
        ]


def _one_of(record: Record, *names: str) -> Any:
    found = [record[name] for name in names if holds(record.get(name))]
    if len(found) == 2 and found[0] != found[1]:
        raise Unusable("ambiguous", f"{' and '.join(names)} differ")
    return found[0] if found else next((record[name] for name in names if name in record), None)
