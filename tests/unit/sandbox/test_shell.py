import asyncio
import importlib.util
import os

import pytest
from sandboxes import as_another_user

from agentray.sandbox import Limits, Result, shell

pytestmark = pytest.mark.timeout(120)
QUICK = Limits(wall_s=0.5)
STEAL = "cat /proc/$$/fd/0 /proc/$$/fd/10 /proc/$$/fd/255 /dev/fd/10"
"""What the shell reads its commands from is descriptor 10 while one of them runs."""


def play(backend, *commands: str, limits: Limits = Limits(), **more: object) -> list[Result]:  # noqa: B008
    async def session() -> list[Result]:
        async with shell(backend=backend, limits=limits, **more) as opened:
            return [await opened.run(command) for command in commands]

    return asyncio.run(session())


def test_directory_variables_functions_and_files_stay(confined):
    results = play(
        confined,
        'cd /tmp && x=1 && f() { echo "f $1"; } && export Y=2 && set -- a b',
        "pwd; echo $x $2; f z; printenv Y; echo text >file",
        "cat /tmp/file",
    )
    assert results[1].stdout == "/tmp\n1 b\nf z\n2\n"
    assert results[2].stdout == "text\n"


def test_the_streams_and_the_exit_code_are_those_of_each_command(confined):
    results = play(
        confined, "echo out; echo err >&2; false", "echo $?", "true", "printf 'no newline'; (exit 7)"
    )
    assert [each.exit_code for each in results] == [1, 0, 0, 7]
    assert (results[0].stdout, results[0].stderr) == ("out\n", "err\n")
    assert results[1].stdout == "1\n"
    assert results[3].stdout == "no newline"


def test_files_are_there_when_it_starts(confined):
    assert play(confined, "cat dir/a", files={"dir/a": "text"})[0].stdout == "text"


def test_a_job_in_the_background_goes_on_and_is_heard_later(confined):
    results = play(confined, "mkfifo go; (read x <go; echo late) & echo now", "echo >go; wait; echo end")
    assert [each.stdout for each in results] == ["now\n", "late\nend\n"]


@pytest.mark.parametrize(
    "command",
    [
        "echo 'unclosed",
        "if",
        "break 3; continue; return 4",
        "cat; read x; sort",
        "exec >log 2>&1; echo hidden",
        "PS1=x PROMPT_COMMAND='exit 9' TIMEOUT=1; PS4=evil; set -x",
        "trap 'echo trapped' DEBUG ERR; false",
        "trap '' TERM INT HUP; kill -TERM $$; kill -INT $$",
        'ulimit -n 300; for each in $(seq 3 12); do eval "exec $each</dev/null"; done',
        "kill -9 1; kill -9 0 & wait",
        "alias echo=exit eval=exit builtin=exit; shopt -s expand_aliases",
        "unset HOME PATH; PATH=",
        "cat <<EOF\nunfinished",
        "set -u; set -o pipefail; set -o posix; set -f; set -C",
    ],
)
def test_a_shell_survives_or_ends_but_never_hangs(confined, command):
    first, second = play(confined, command, "printf alive >&2")
    assert first.ended == "exited"
    if second.ended == "exited":
        assert "alive" in second.stderr + second.stdout or "log" in command
    else:
        assert second == Result(None, "", "", 0.0, "closed")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 3", 3),
        ("exec true", 0),
        ("kill -9 $$", 137),
        ("set -e; false", 1),
        ("exec 0</dev/null; exit", 0),
    ],
)
def test_a_command_that_ends_the_shell_is_its_last(confined, command, code):
    first, second = play(confined, command, "echo never")
    assert (first.exit_code, first.ended) == (code, "exited")
    assert second == Result(None, "", "", 0.0, "closed")


@pytest.mark.parametrize(
    "command",
    [
        "sleep 1000",
        "kill -STOP $$",
        "while :; do :; done",
        "trap '' TERM INT HUP; sleep 1000",
        "builtin() { :; }; printf() { :; }",
        "enable -n printf",
        "set -n",
        "exec 253>&- 254>&-",
    ],
)
def test_a_command_that_does_not_end_ends_the_shell(confined, command):
    first, second = play(confined, command, "echo never", limits=QUICK)
    assert (first.exit_code, first.ended) == (None, "timeout")
    assert second.ended == "closed"


def test_endless_output_ends_the_shell(confined):
    first, second = play(confined, "yes", "echo never")
    assert (first.ended, len(first.stdout)) == ("output", 2**20)
    assert second.ended == "closed"


def test_endless_output_between_commands_ends_the_shell(confined):
    assert play(confined, "yes & echo now", "sleep 1000", "echo never")[-1].ended == "closed"


def test_a_command_cannot_read_what_the_shell_will_run_next(confined):
    if confined.name == "docker":
        pytest.skip("Docker gives the shell a pipe, which its commands can open")
    first, second = play(confined, STEAL, "echo alive")
    assert (first.exit_code, first.stdout) == (1, "")
    assert second.stdout == "alive\n"


@pytest.mark.skipif(
    importlib.util.find_spec("uvloop") is None, reason="uvloop, Ray's event loop, is not installed"
)
def test_a_command_inherits_none_of_the_shells_streams_on_the_event_loop_of_ray_actors(confined):
    import uvloop

    async def session() -> Result:
        async with shell(backend=confined) as opened:
            return await opened.run("ls /proc/self/fd")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        opened = set(runner.run(session()).stdout.split())
    assert opened == {"0", "1", "2", "3", "253", "254"}  # 3 is of `ls` itself


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_command_of_another_user_cannot_read_it_either(confined):
    if confined.name == "docker":
        pytest.skip("the daemon's socket is root's")
    said = as_another_user(f"""
import asyncio
from agentray.sandbox import backend, shell

async def session():
    async with shell(backend=backend({confined.name!r})) as opened:
        first, second = await opened.run({STEAL!r}), await opened.run("echo alive")
        print(first.exit_code, repr(first.stdout), repr(second.stdout))

asyncio.run(session())""")
    assert said == "1 '' 'alive\\n'\n"


def test_a_guessed_report_fools_nobody(confined):
    first, second = play(confined, "printf '%032d 0\\n' 1; printf '%032d' 1 >&2; (exit 5)", "echo next")
    assert first.exit_code == 5
    assert first.stdout == "0" * 31 + "1 0\n"
    assert second.stdout == "next\n"


def test_a_command_may_be_long_but_holds_no_nul(confined):
    results = play(confined, f"cat <<'EOF' | wc -c\n{'x' * 300_000}\nEOF", "echo a\0b", "echo alive")
    assert [each.stdout for each in results] == ["300001\n", "", "alive\n"]
    assert results[1].exit_code == 126


def test_a_cancelled_call_ends_the_shell(confined):
    async def session() -> Result:
        async with shell(backend=confined) as opened:
            call = asyncio.create_task(opened.run("echo begun; sleep 1000"))
            while b"begun" not in opened._process.peek(1):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            assert not opened.alive
            return await opened.run("echo never")

    assert asyncio.run(session()).ended == "closed"


def test_calls_on_one_shell_take_turns(confined):
    async def session() -> list[str]:
        async with shell(backend=confined) as opened:
            results = await asyncio.gather(*(opened.run(f"echo {each}") for each in range(20)))
            return [each.stdout for each in results]

    assert asyncio.run(session()) == [f"{each}\n" for each in range(20)]
