"""The generator: tables and requests about them, as tasks of the environment."""

from agentray_database.generator.tasks import generate

__all__ = ["generate"]
