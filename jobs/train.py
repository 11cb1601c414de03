"""The train stage as a Ray job.

    ray job submit --working-dir jobs -- python train.py --out SHARED_DIRECTORY

Settings come from train.toml beside this file; any option of `agentray train` may follow.
"""

import sys
from pathlib import Path

from agentray.cli import main

if __name__ == "__main__":
    main(["train", "--config", str(Path(__file__).with_suffix(".toml")), *sys.argv[1:]])
