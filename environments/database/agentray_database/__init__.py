"""AgentBench's DBBench as an agentray environment: questions and modifications of one table, in SQL.

`agentray evaluate --env database` runs generated tasks, and with `--set env.database.data=FILE` AgentBench's
records. Importing this package also registers `agentray/Database-v0` with Gymnasium.
"""

import gymnasium

from agentray_database.environment.database import Database
from agentray_database.environment.episode import DatabaseEpisode

__all__ = ["Database", "DatabaseEpisode"]

if "agentray/Database-v0" not in gymnasium.registry:
    gymnasium.register("agentray/Database-v0", "agentray_database.environment.episode:DatabaseEpisode")
