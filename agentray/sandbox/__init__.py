r"""Running what a model wrote, where it can do no harm.

    from agentray import sandbox

    result = await sandbox.run(["python3", "solution.py"], files={"solution.py": text})
    result.exit_code, result.stdout, result.ended  # 0, "42\n", "exited"

docs/sandbox.md says what is kept apart and what is not, `agentray doctor` whether this machine can do it.
"""

from agentray.sandbox.backends import Backend, available, backend
from agentray.sandbox.result import Ended, Limits, Result
from agentray.sandbox.run import run
from agentray.sandbox.shell import Shell, shell

__all__ = ["Backend", "Ended", "Limits", "Result", "Shell", "available", "backend", "run", "shell"]
