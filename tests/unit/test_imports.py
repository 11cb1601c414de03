import subprocess
import sys


def test_importing_agentray_loads_neither_ray_nor_torch():
    code = (
        "import sys, agentray, agentray.env, agentray.policy, agentray.cli.app; "
        "sys.exit(any(m in sys.modules for m in ('ray', 'torch', 'vllm', 'transformers', 'deepspeed')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
