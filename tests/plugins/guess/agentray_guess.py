"""Guess a number: a whole environment."""

import itertools
import random
import re

from agentray.env import TextEnv, TextEnvironment, fingerprint
from agentray.types import SPLITS, Task


class Game(TextEnv):
    """The number is named at last: reward 1."""

    def start(self, task):
        self.number = task.data["number"]
        return "My number has up to four digits.", {}

    def play(self, reply):
        found = re.search(r"Action: (\d{1,4})\b", reply)
        info = {"action": found[1] if found else None}
        if not found:
            return "Say 'Action: NUMBER'.", 0.0, False, False, info
        if int(found[1]) == self.number:
            return "Yes.", 1.0, True, False, info
        return "Higher." if int(found[1]) < self.number else "Lower.", 0.0, False, False, info


class Guess(TextEnvironment):
    """Find a number by halving what is left."""

    id = "guess"
    rules = "Guess my number. Reply with 'Action: NUMBER'; I say 'Higher.' or 'Lower.'"

    def tasks(self, split, start=0):
        for index in itertools.count(start):
            number = random.Random(f"{split}/{index}").randrange(3333) * 3 + SPLITS.index(split)
            data = {"number": number}  # by its remainder it belongs to one split
            yield Task(self.id, f"{split}/{index}", split, data, fingerprint(data))

    def make(self):
        return Game()

    def expert(self, task):
        low, high, guess = 0, 9999, 0

        def reply(messages):
            nonlocal low, high, guess
            said = messages[-1].content
            low, high = (guess + 1 if said == "Higher." else low), (guess - 1 if said == "Lower." else high)
            guess = (low + high) // 2
            return f"Thought: It is from {low} to {high}.\nAction: {guess}"

        return reply
