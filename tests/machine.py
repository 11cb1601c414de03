"""What this machine has, as marks for tests that need it."""

import pytest

from agentray import sandbox

needs_sandbox = pytest.mark.skipif(not sandbox.available(), reason="no sandbox here: bubblewrap is missing")
