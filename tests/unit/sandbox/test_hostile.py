"""None escapes, none keeps the caller waiting, each ends as a result, and none leaves anything behind."""

import asyncio
import os
import platform
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hostile import ABSENT, CASES

from agentray.sandbox import Backend, Limits, Result, run
from agentray.sandbox.launch import ENVIRONMENT

pytestmark = pytest.mark.timeout(120)
MARK = f"agentray-test-{uuid.uuid4().hex}"
"""In the command line or the environment of every process that a case starts."""
AT_ONCE = 6
WITHOUT_PYTHON = not shutil.which("python3", path=ENVIRONMENT["PATH"])
ATTACKED = ("/", "/mnt", "/proc", "/tmp", "/usr")
EVIL = (Path("/etc/agentray-evil"), Path("/usr/bin/agentray-evil"))


class Host:
    """What of the host the cases attack: listeners, a secret file, this process."""

    def __init__(self, directory: Path) -> None:
        os.environ["AGENTRAY_TEST_SECRET"] = MARK
        self.tcp, self.udp = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
        self.unix, self.abstract = (socket.socket(socket.AF_UNIX) for _ in range(2))
        self.udp.bind(("127.0.0.1", 0))
        self.unix.bind(str(directory / "socket"))
        self.abstract.bind("\0" + MARK)
        self.secret = directory / "secret"
        self.secret.write_text("secret")
        for path in (directory, *directory.parents[:2], self.secret, directory / "socket"):
            path.chmod(0o755)  # so that only the sandbox hides it
        self.listeners = (self.tcp, self.unix, self.abstract, self.udp)
        for each in self.listeners[:3]:
            each.listen()
        self.words = {
            "@TCP": self.tcp.getsockname()[1],
            "@UDP": self.udp.getsockname()[1],
            "@SOCKET": directory / "socket",
            "@ABSTRACT": MARK,
            "@SECRET": self.secret,
            "@MARK": "AGENTRAY_TEST_SECRET",
            "@PID": os.getpid(),
            "@GROUP": os.getpgrp(),
            "@REPOSITORY": Path(__file__).parents[3],
            "@CLONE": {"aarch64": 220}.get(platform.machine(), 56),
        }

    def aim(self, script: str) -> str:
        return re.sub("|".join(self.words), lambda found: str(self.words[found[0]]), script)

    def reached(self) -> bool:
        """Whether anything came in."""
        for each in self.listeners:
            each.setblocking(False)
            try:
                each.recv(1) if each is self.udp else each.accept()
            except BlockingIOError:
                continue
            return True
        return False

    def close(self) -> None:
        del os.environ["AGENTRAY_TEST_SECRET"]
        for each in self.listeners:
            each.close()


@dataclass(frozen=True)
class Outcome:
    backend: Backend
    results: dict[str, Result]
    host: Host
    mounts: tuple[list[str], list[str]]
    """Of the host, before and after."""


@pytest.fixture(scope="module")
def outcome(confined: Backend, tmp_path_factory) -> Iterator[Outcome]:
    """Every case played once on one backend, several at a time."""
    host = Host(tmp_path_factory.mktemp("host"))
    before = _mounts()
    results = asyncio.run(_play(host, confined))
    yield Outcome(confined, results, host, (before, _mounts()))
    host.close()


async def _play(host: Host, backend: Backend) -> dict[str, Result]:
    places = asyncio.Semaphore(AT_ONCE)

    async def play(case) -> Result:
        command = ["env", f"CASE={MARK}", "bash", "-c", host.aim(case.script)]
        async with places:
            return await run(command, stdin=case.stdin, limits=Limits(**case.limits), backend=backend)

    cases = [case for case in CASES if backend.name in case.on]
    results = await asyncio.gather(*map(play, cases))
    return {case.name: result for case, result in zip(cases, results, strict=True)}


def _mounts() -> list[str]:
    """What is mounted where the cases mount and unmount; elsewhere others may, meanwhile."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if line.split()[1] in ATTACKED]


def _left() -> list[str]:
    """Command lines of processes that a case started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if f"CASE={MARK}".encode() in text:
            found.append(text.decode(errors="replace"))
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "_"))
def test_a_hostile_command_achieves_nothing_and_ends(case, outcome):
    if outcome.backend.name not in case.on:
        pytest.skip(f"of {' and '.join(case.on)} only; see docs/sandbox.md")
    if "python3" in case.script and WITHOUT_PYTHON:
        pytest.skip("no python3 in /usr/bin or /usr/local/bin")
    result = outcome.results[case.name]
    if result.stdout.startswith(ABSENT):
        pytest.skip(result.stdout.strip())
    assert case.ended in (None, result.ended), result
    assert case.code in (None, result.exit_code), result
    assert case.out in (None, result.stdout), result
    assert len(result.stdout) + len(result.stderr) <= case.limits.get("output_bytes", 2**20)


def test_nothing_is_left_on_the_host(outcome):
    deadline = time.monotonic() + 10
    while left := _left():  # the kernel clears a name space away a moment after its first process
        assert time.monotonic() < deadline, left
    assert outcome.mounts[0] == outcome.mounts[1]
    assert not any(path.exists() for path in EVIL) and "evil" not in Path("/etc/passwd").read_text()
    assert outcome.host.secret.read_text() == "secret"
    assert not outcome.host.reached()
