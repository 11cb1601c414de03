"""Formats of question and answer: one of JSON records, and one of another kind of file."""

from agentray.data.records import messages
from agentray.formats import Format, Unusable
from agentray.formats.imported import to_trajectory
from agentray.types import Conversation, Message, Rejection


def pair(trajectory):
    """The question and the answer of a trajectory that has no more."""
    said = messages(trajectory)
    if [each.role for each in said] != ["user", "assistant"]:
        raise Unusable("roles_do_not_alternate", "there is more than a question and an answer")
    return [each.content for each in said]


class Pairs(Format):
    """Records such as `{"question": "2+2?", "answer": "4"}`."""

    fields = frozenset({"question", "answer"})

    def turns(self, record):
        """The question, then the answer."""
        return [
            {"role": "user", "content": record["question"]},
            {"role": "assistant", "content": record["answer"]},
        ]

    def record(self, trajectory):
        """The question and the answer."""
        return dict(zip(("question", "answer"), pair(trajectory), strict=True))


class Tsv(Format):
    """Lines of question, a tab, and answer."""

    def read(self, path):
        """A trajectory a line."""
        for number, line in enumerate(path.read_text().splitlines(), 1):
            place, cells = f"{path.name}:{number}", line.split("\t")
            if len(cells) != 2:
                yield Rejection(place, "bad_content", f"{len(cells)} cells")
                continue
            said = Message("user", cells[0]), Message("assistant", cells[1], loss=True)
            yield to_trajectory(Conversation(said), "imported", place)

    def write(self, trajectories, path, refuse):
        """A line a trajectory."""
        written = 0
        with path.open("w") as stream:
            for each in trajectories:
                try:
                    stream.write("\t".join(pair(each)) + "\n")
                    written += 1
                except Unusable as wrong:
                    refuse(Rejection(each.key, wrong.reason, wrong.detail))
        return written
