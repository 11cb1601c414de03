"""The rollout stage as a Ray job.

    ray job submit --working-dir jobs -- python rollout.py --out SHARED_DIRECTORY

Settings come from rollout.toml beside this file; any option of `agentray rollout` may follow.
"""

import sys
from pathlib import Path

from agentray.cli import main

if __name__ == "__main__":
    main(["rollout", "--config", str(Path(__file__).with_suffix(".toml")), *sys.argv[1:]])
