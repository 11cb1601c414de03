"""Environments that cannot be used, each in another way."""

from agentray.env import EnvironmentSettings, TextEnvironment


class Old:
    """An environment of another framework."""

    id = "old"


class Needy(TextEnvironment):
    """An environment with a setting that has no default."""

    id = "needy"

    class Settings(EnvironmentSettings):
        """What must be given."""

        address: str

    def tasks(self, split, start=0):
        return iter(())

    def make(self):
        raise NotImplementedError


def __getattr__(name):
    raise ModuleNotFoundError("No module named 'browser'")
