"""General benchmarks: what is asked, how the answers are got, and how they are scored."""

from agentray.suites.benchmark import Answer, Benchmark, Grades, Question, QuestionSet, usable

__all__ = ["Answer", "Benchmark", "Grades", "Question", "QuestionSet", "usable"]
