"""Formats: how trajectories and conversations of other tools are read and written, one module each."""

from agentray.formats.base import Format
from agentray.formats.reasons import Unusable

__all__ = ["Format", "Unusable"]
