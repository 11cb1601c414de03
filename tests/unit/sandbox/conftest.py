import pytest
import sandboxes

from agentray.sandbox import backend
from agentray.sandbox.backends import NAMES, problem


@pytest.fixture(scope="session", params=sandboxes.names() or [None])
def confined(request):
    """Each backend that works here."""
    if request.param is None:
        pytest.skip(f"no sandbox works on this machine: {'; '.join(map(problem, NAMES))}")
    return backend(request.param)


def pytest_terminal_summary(terminalreporter):
    if not sandboxes.names():
        terminalreporter.section("agentray.sandbox")
        terminalreporter.line("NOT TESTED: every test that runs a sandbox was skipped, none works here")
