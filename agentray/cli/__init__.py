"""The command line: parse, run a stage, print what it did."""

from agentray.cli.app import main

__all__ = ["main"]
