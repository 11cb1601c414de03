"""What this machine has, as marks for tests that need it."""

import pytest
import sandboxes

needs_sandbox = pytest.mark.skipif(not sandboxes.names(), reason="no sandbox here: bubblewrap is missing")
