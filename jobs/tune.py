"""The tune stage as a Ray job.

    ray job submit --working-dir jobs -- python tune.py --out SHARED_DIRECTORY

Settings come from tune.toml beside this file; any option of `agentray tune` may follow.
"""

import sys
from pathlib import Path

from agentray.cli import main

if __name__ == "__main__":
    main(["tune", "--config", str(Path(__file__).with_suffix(".toml")), *sys.argv[1:]])
