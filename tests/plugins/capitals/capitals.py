"""A benchmark with a file of its own."""

from agentray.suites import Benchmark, Grades, Question, usable
from agentray.suites.reading import records


class Capitals(Benchmark):
    """Capitals of countries."""

    name = "capitals"
    files = "capitals.jsonl"

    def questions(self, directory, seed):
        """One per country."""
        rows = records(directory, self.name, ("country", "capital"), self.files)
        asked = [
            Question(place, (f"The capital of {row['country']}?",), gold=row) for place, row in rows.items()
        ]
        return usable(self.name, asked, [])

    def grade(self, answers):
        """100 where the reply names it."""
        return Grades([100.0 * (each.question.gold["capital"] in each.first) for each in answers])
