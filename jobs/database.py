"""The whole loop on generated database tasks, scored on AgentBench's own records too.

    ray job submit --working-dir jobs -- python database.py --out SHARED_DIRECTORY

Settings come from database.toml beside this file; any option of `agentray quickstart` may follow.
"""

import sys
from pathlib import Path

from agentray.cli import main

if __name__ == "__main__":
    main(["quickstart", "--config", str(Path(__file__).with_suffix(".toml")), *sys.argv[1:]])
