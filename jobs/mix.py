"""The mix stage as a Ray job.

    ray job submit --working-dir jobs -- python mix.py --out SHARED_DIRECTORY

Settings come from mix.toml beside this file; any option of `agentray mix` may follow.
"""

import sys
from pathlib import Path

from agentray.cli import main

if __name__ == "__main__":
    main(["mix", "--config", str(Path(__file__).with_suffix(".toml")), *sys.argv[1:]])
