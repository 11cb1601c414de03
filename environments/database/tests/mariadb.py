"""A private MariaDB for one test run: its own folder and socket, ended by its process id."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_INSTALL_S = 300
_START_S = 60


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


def install() -> None:
    """Make `mariadbd` available from Debian's packages, or skip with the reason."""
    if _program("mariadbd"):
        return
    apt = _program("apt-get")
    if apt is None or os.geteuid() != 0:
        pytest.skip("mariadbd is not installed, and installing it needs root and apt-get")
    settings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ([apt, "update"], [apt, "install", "-y", "--no-install-recommends", "mariadb-server"]):
        try:
            done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=_INSTALL_S)
        except subprocess.TimeoutExpired:
            pytest.skip(f"`{' '.join(command)}` took more than {_INSTALL_S} s")
        if done.returncode:
            pytest.skip(f"`{' '.join(command)}` failed: {done.stderr.strip()[-200:]}")


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The socket of a running server with MySQL's usual character set and MariaDB's usual modes."""
    install()
    with tempfile.TemporaryDirectory(prefix="mariadb-") as name:
        folder, user = Path(name), f"--user={'root' if os.geteuid() == 0 else os.environ.get('USER', '')}"
        data, socket, log = folder / "data", folder / "sock", folder / "log"
        create = [
            _program("mariadb-install-db"),
            "--no-defaults",
            user,
            f"--datadir={data}",
            "--skip-test-db",
        ]
        made = subprocess.run(
            [*create, "--auth-root-authentication-method=normal"], capture_output=True, text=True, timeout=120
        )
        if made.returncode:
            pytest.skip(f"mariadb-install-db failed: {made.stderr.strip()[-200:]}")
        run = [_program("mariadbd"), "--no-defaults", user, f"--datadir={data}", f"--socket={socket}"]
        run += ["--skip-networking", f"--log-error={log}", f"--pid-file={folder / 'pid'}"]
        run += ["--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"]
        process = subprocess.Popen([*run, "--innodb-buffer-pool-size=16M"], stderr=subprocess.DEVNULL)
        try:
            _await(process, socket, log)
            yield str(socket)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _await(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    end = time.monotonic() + _START_S
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > end:
            text = log.read_text(errors="replace")[-300:] if log.exists() else "no log"
            pytest.fail(f"mariadbd did not start: {text}")
        process.poll()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
