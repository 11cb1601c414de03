"""The evaluate stage as a Ray job.

    ray job submit --working-dir jobs -- python eval.py --out SHARED_DIRECTORY

Settings come from eval.toml beside this file; any option of `agentray evaluate` may follow.
"""

import sys
from pathlib import Path

from agentray.cli import main

if __name__ == "__main__":
    main(["evaluate", "--config", str(Path(__file__).with_suffix(".toml")), *sys.argv[1:]])
