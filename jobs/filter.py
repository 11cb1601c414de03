"""The filter stage as a Ray job.

    ray job submit --working-dir jobs -- python filter.py --out SHARED_DIRECTORY

Settings come from filter.toml beside this file; any option of `agentray filter` may follow.
"""

import sys
from pathlib import Path

from agentray.cli import main

if __name__ == "__main__":
    main(["filter", "--config", str(Path(__file__).with_suffix(".toml")), *sys.argv[1:]])
