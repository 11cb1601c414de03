"""Installs a distribution for a subprocess, without pip or a network.

environment = installed(Path("tests/plugins/parrot"), tmp_path)
subprocess.run([sys.executable, "-m", "agentray", "environments"], env=environment, check=True)
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def installed(distribution: Path, target: Path) -> dict[str, str]:
    """Environment variables of a process that finds a distribution, and this checkout of agentray.

    Args:
        distribution: Directory with its `pyproject.toml` and its modules and packages.
        target: Directory that serves as `site-packages`; created where it is missing. What other calls
            installed there stays installed.
    """
    project = tomllib.loads((distribution / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = target / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    header = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(header, encoding="utf-8")
    points = _entry_points(project.get("entry-points", {}))
    (metadata / "entry_points.txt").write_text(points, encoding="utf-8")
    for module in [*distribution.glob("*.py"), *(each.parent for each in distribution.glob("*/__init__.py"))]:
        (target / module.name).symlink_to(module.resolve())
    inherited = filter(None, [os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(ROOT), *inherited])}


def _entry_points(groups: Mapping[str, Mapping[str, str]]) -> str:
    """The content of `entry_points.txt`."""
    sections = (
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in groups.items()
    )
    return "\n\n".join(sections) + "\n"
