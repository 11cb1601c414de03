import asyncio
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sandboxes
from sandboxes import as_another_user

from agentray.errors import ResourceError, UsageError
from agentray.sandbox import Limits, Result, available, backend, backends, cgroup, confine, run, seccomp
from agentray.sandbox.launch import ENVIRONMENT, Launch

pytestmark = pytest.mark.timeout(120)
BASH = ("bash", "-c")


def once(confined, *command: str, **more: object) -> Result:
    return asyncio.run(run(command, backend=confined, **more))


def test_a_command_reads_its_files_and_input_and_reports_what_it_did(confined):
    files = {"a": "first", "dir/deep/b": "é\n", "-n": "dash", "new\nline": "odd"}
    result = once(
        confined, *BASH, "cat a dir/deep/b ./-n $'new\\nline'; cat; exit 3", files=files, stdin="in"
    )
    assert result == Result(3, "firsté\ndashoddin", "", result.wall_s, "exited")


def test_the_best_backend_is_the_default(confined):
    assert asyncio.run(run(["true"])).exit_code == 0
    assert backend().name == available()[0]


@pytest.mark.parametrize("name", ["../a", "/etc/a", "", ".", "a/../../b", "a/", "a\0b"])
def test_a_file_outside_the_working_directory_is_refused(name):
    with pytest.raises(ValueError, match="below the working directory"):
        asyncio.run(run(["true"], files={name: ""}))


def test_a_file_larger_than_files_may_be_is_refused():
    with pytest.raises(ValueError, match="more than the 10 bytes"):
        asyncio.run(run(["true"], files={"a": "x" * 11}, limits=Limits(file_bytes=10)))


@pytest.mark.parametrize(
    "files", [{"big": "x" * 2**21, "next": "y"}, {"a": "x", "a/b": "y"}, {"a/b": "x", "a": "y"}], ids=" ".join
)
def test_files_that_cannot_all_be_written_stop_the_sandbox(confined, files):
    with pytest.raises(ResourceError, match="did not start"):
        once(confined, "cat", files=files, limits=Limits(disk_bytes=2**20))


@pytest.mark.parametrize("command", [["bash", "-c", "x" * 200_000], ["a\0b"], ["x" * 1000] * 9000, []])
def test_a_command_that_linux_would_not_start_is_a_result(command):
    result = asyncio.run(run(command))
    assert (result.exit_code, result.ended) == (126, "exited")
    assert result.stderr.startswith("sandbox: ")


def test_lone_surrogates_of_a_model_are_replaced(confined):
    result = once(confined, *BASH, "echo '\ud800'; cat; cat a", stdin="\udfff", files={"a": "\ud800"})
    assert result.stdout == "?\n??"


def test_an_unknown_backend_is_named_with_the_accepted_ones():
    with pytest.raises(UsageError, match="bwrap, docker, unshare"):
        backend("bwarp")


def test_without_any_backend_the_error_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(ENVIRONMENT, "PATH", str(tmp_path))
    backends.problem.cache_clear()
    with pytest.raises(ResourceError, match="install bubblewrap") as caught:
        asyncio.run(run(["true"]))
    assert "bwrap: bwrap and setpriv and prlimit not installed" in caught.value.why
    backends.problem.cache_clear()


def test_a_sandbox_that_does_not_start_says_why(confined):
    broken = backends.Backend("broken", lambda _: Launch(("sh", "-c", "echo because >&2; exit 1", "sh")))
    with pytest.raises(ResourceError, match="because"):
        once(broken, "true")


def test_a_cancelled_call_leaves_nothing(confined):
    async def session() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await run(["sleep", "1000.25"], backend=confined)

    asyncio.run(session())
    while _running("sleep\x001000.25"):  # the test's own timeout is the limit
        pass


def test_sandboxes_end_with_a_caller_that_is_killed(confined):
    if confined.name == "docker":
        pytest.skip("a container is its daemon's, and outlives who asked for it")
    script = f"""
import asyncio
from agentray.sandbox import backend, run
command = ["bash", "-c", "setsid sleep 1000.75 & sleep 1000.5; true"]
asyncio.run(run(command, backend=backend({confined.name!r})))"""
    caller = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": ":".join(sys.path)}
    )
    try:
        while len(_running("sleep\x001000.")) < 2:
            assert caller.poll() is None
    finally:
        caller.send_signal(signal.SIGKILL)
        caller.wait()
    while _running("sleep\x001000."):  # the test's own timeout is the limit
        pass
    cgroup._parents.cache_clear()
    assert not [group for parent in cgroup._parents() for group in parent.glob(f"agentray-{caller.pid}-*")]


def test_many_run_at_once_and_keep_apart(confined):
    async def session() -> list[Result]:
        script = "echo {0} >>file; cat file; ls /proc | grep -c '^1$'"
        commands = ([*BASH, script.format(each)] for each in range(24))
        return await asyncio.gather(*(run(command, backend=confined) for command in commands))

    assert [each.stdout for each in asyncio.run(session())] == [f"{each}\n1\n" for each in range(24)]


def test_output_that_overtakes_the_word_of_the_beginning_is_cut_too(confined):
    limits = Limits(output_bytes=10)

    async def session() -> list[Result]:
        calls = (run([*BASH, "yes & yes >&2"], limits=limits, backend=confined) for _ in range(12))
        return await asyncio.gather(*calls)

    for result in asyncio.run(session()):
        assert result.ended == "output" and len(result.stdout + result.stderr) == 10


@pytest.mark.skipif(
    importlib.util.find_spec("uvloop") is None, reason="uvloop, Ray's event loop, is not installed"
)
def test_it_works_on_the_event_loop_of_ray_actors(confined):
    import uvloop

    async def session() -> list[Result]:
        commands = {"echo x; cat": 10, "setsid sleep 1000 & echo x": 10, "yes": 10, "sleep 1000": 0.5}
        return [
            await run([*BASH, each], stdin="y", limits=Limits(wall_s=wall_s), backend=confined)
            for each, wall_s in commands.items()
        ]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(session())
    assert [each.ended for each in results] == ["exited", "exited", "output", "timeout"]
    assert [each.stdout[:3] for each in results] == ["x\ny", "x\n", "y\ny", ""]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_works_for_a_user_without_privileges(confined):
    if confined.name == "docker":
        pytest.skip("the daemon's socket is root's")
    said = as_another_user(f"""
import asyncio
from agentray.sandbox import backend, run
print(asyncio.run(run(["id", "-un"], backend=backend({confined.name!r}))).stdout)""")
    assert said == "agent\n\n"


def test_memory_of_all_processes_together_is_limited_by_a_control_group(confined):
    groups = cgroup.create(Limits())
    cgroup.removed(groups)
    if not groups:
        pytest.skip("this process may not make control groups")
    hog = "head -c 100M /dev/zero | tail -c 100M | wc -c & " * 4 + "wait"
    limits = Limits(memory_bytes=200 * 2**20, disk_bytes=2**20)
    result = once(confined, *BASH, hog, limits=limits)
    assert result.stdout.count(str(100 * 2**20)) < 4
    assert not [group for parent in cgroup._parents() for group in parent.glob(f"agentray-{os.getpid()}-*")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
def test_every_sandbox_of_root_has_a_user_of_its_own(confined, monkeypatch):
    if confined.name == "docker":
        pytest.skip("in containers all are user 1000")
    drawn = []
    monkeypatch.setattr(confine.secrets, "choice", lambda users: drawn.append(users[len(drawn)]) or drawn[-1])
    argvs = [confined.launch(Limits()) for _ in range(2)]
    users = [launch.argv[launch.argv.index("--reuid") + 1] for launch in argvs]
    for launch in argvs:
        for each in launch.descriptors:
            os.close(each)
    assert users == [str(each) for each in drawn] and len(set(users)) == 2
    assert all(each in confine._UNUSED or each in confine._UNUSED_IN_CONTAINERS for each in drawn)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_a_whole_program_that_jumps_forward_only(machine):
    code = seccomp.program(machine)
    assert code is not None and len(code) % 8 == 0
    length = len(code) // 8
    for position in range(length):
        _, if_true, if_false = (
            code[8 * position : 8 * position + 2],
            code[8 * position + 2],
            code[8 * position + 3],
        )
        assert position + 1 + max(if_true, if_false) < length + (position == length - 1)
    assert code[-8:-6] == b"\x06\x00"


def test_there_is_no_filter_for_a_machine_whose_calls_are_not_known():
    assert seccomp.program("riscv64") is None


@pytest.mark.skipif("bwrap" not in sandboxes.names(), reason="bubblewrap does not work here")
@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no filter for this machine")
@pytest.mark.skipif(not shutil.which("python3", path="/usr/local/bin:/usr/bin"), reason="no python3 in /usr")
def test_every_refused_system_call_is_refused():
    column = ("x86_64", "aarch64").index(platform.machine())
    numbers = {name: each[column] for name, each in seccomp.REFUSED.items() if each[column] is not None}
    script = f"""
import ctypes
call = ctypes.CDLL(None, use_errno=True).syscall
for name, number in {numbers}.items():
    if call(number, -1, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != 1:
        print(name)"""
    assert once(backend("bwrap"), "python3", "-I", "-c", script).stdout == ""


def _running(words: str) -> list[Path]:
    """Processes on this machine with these words in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if words.encode() in (process / "cmdline").read_bytes():
                found.append(process)
        except OSError:
            continue
    return found
