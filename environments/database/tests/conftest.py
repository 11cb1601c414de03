import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def dbbench() -> Path:
    folder = Path(os.environ.get("AGENTRAY_TEST_DATA", ROOT / ".." / "shared" / "data")) / "dbbench"
    if not (folder / "dev.jsonl").is_file():
        pytest.skip(f"AgentBench's DBBench records are not in {folder}; set AGENTRAY_TEST_DATA")
    return folder
