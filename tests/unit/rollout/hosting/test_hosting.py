import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy
import pytest

from agentray.env.base import Hosting
from agentray.env.count import Count, CountGame
from agentray.rollout.hosting import Host
from agentray.types import EnvSpec

TASK = next(t for t in Count().tasks("train") if t.data["goal"] - t.data["start"] == 2)
MODES = ["inline", "thread", "process"]
RIGHT = [f"Action: {TASK.data['start'] + offset}" for offset in (1, 2)]
HANGS, RELEASE = threading.Event(), threading.Event()  # what hangs sets the one and waits for the other


class Game(CountGame):
    """The counting game, with a fault and things in `info` that no JSON can carry."""

    def __init__(self, fault, log):
        super().__init__()
        self._fault, self._log = fault, log

    def reset(self, **kwargs):
        observation, info = super().reset(**kwargs)
        return observation, {**info, "pid": os.getpid(), "started": self._fail_in("reset")}

    def step(self, action):
        more = self._fail_in("step") or ""
        observation, reward, terminated, truncated, info = super().step(action)
        info |= {"metrics": {"score": numpy.float32(0.5)}, "image": numpy.ones(3), ("a", 1): object()}
        return observation + more, numpy.float32(reward), numpy.bool_(terminated), truncated, info

    def close(self):
        with open(self._log or os.devnull, "a") as lines:
            lines.write("closed\n")
        self._fail_in("close")

    def _fail_in(self, call):
        match call, self._fault:
            case "step", "exit":
                print("no display", file=sys.stderr)
                os._exit(3)
            case "step", "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "step", "sys.exit":
                sys.exit("out of credit")
            case "step", "next":
                next(iter([]))
            case ("step", "error") | ("close", "error in close"):
                raise OSError("the browser died")
            case "step", "print":
                print('{"observation": "mine"}')
                os.write(1, b"raw\n" + b"x" * 10**6)
                subprocess.run("read line; echo from a shell", shell=True)
                return "y" * 10**6
            case "reset", "start and hang":
                return subprocess.Popen(["sleep", "600"]).pid
            case ("step", "hang" | "start and hang") | ("reset", "hang in reset"):
                HANGS.set()
                RELEASE.wait()
            case "close", "hang in close" if Path(self._log).read_text() == "closed\n":  # only the first
                RELEASE.wait()


class Hosted(Count):
    """The counting game, hosted in any way."""

    def __init__(self, fault=None, log=None, mode="process", **hosting):
        super().__init__()
        self.hosting = Hosting(mode, **hosting)
        self._fault, self._log = fault, log

    def make(self):
        return Game(self._fault, self._log)


def hosted(fault=None, mode="process", **kwargs):
    kwargs |= {"fault": fault, "mode": mode}
    return Host(EnvSpec("count", f"{__name__}:Hosted", kwargs), Hosted(**kwargs))


async def play(host, replies=RIGHT):
    """One episode; all that the environment said."""
    async with host.session() as session:
        said = [await session.reset(5, TASK)]
        for reply in replies:
            said.append(await session.step(reply))
    return said


async def pid_of(host):
    return (await play(host, []))[0][1]["pid"]


def run(scenario, host, factory=None):
    async def closing():
        try:
            return await scenario
        finally:
            await host.close()

    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(closing())


@pytest.fixture(params=["asyncio", "uvloop"])
def loop_factory(request):
    """Ray's actors use uvloop where it is installed."""
    return pytest.importorskip(request.param, reason=f"{request.param} is not installed").new_event_loop


@pytest.fixture(autouse=True)
def released(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[4])])  # for this module's name
    HANGS.clear()
    RELEASE.clear()
    yield
    RELEASE.set()


def ended(process):
    """Whether the process of a descriptor ends, also when nobody has asked for its exit code yet."""
    with open(process, "rb"):
        return bool(select.select([process], [], [], 60)[0])


@pytest.mark.parametrize("mode", MODES)
def test_an_episode_is_the_same_in_every_mode(mode, loop_factory):
    host = hosted(mode=mode)
    (first, begun), *turns = run(play(host), host, loop_factory)
    assert first.endswith(str(TASK.data["start"]))
    assert (begun["pid"] == os.getpid()) == (mode != "process")
    assert [turn[1:4] for turn in turns] == [(0.0, False, False), (1.0, True, False)]
    assert [turn[0] for turn in turns] == [reply.replace("Action", "Last number") for reply in RIGHT]
    assert (turns[-1][4]["action"], turns[-1][4]["metrics"]) == (RIGHT[-1].split()[-1], {"score": 0.5})
    assert mode != "process" or turns[0][4].keys() == {"action", "metrics"}


@pytest.mark.parametrize("mode", MODES)
def test_an_environment_is_closed_exactly_once(mode, tmp_path):
    host = hosted(mode=mode, log=str(tmp_path / "log"))

    async def scenario():
        await play(host)
        with suppress(ZeroDivisionError):  # an episode that ends early
            async with host.session() as session:
                await session.reset(5, TASK)
                raise ZeroDivisionError
        async with host.session():
            pass

    run(scenario(), host)
    assert (tmp_path / "log").read_text() == "closed\n" * 2


@pytest.mark.parametrize("mode", MODES)
def test_no_more_than_max_episodes_play_and_the_first_to_come_is_the_first_to_play(mode):
    host = hosted(mode=mode, max_episodes=2)
    order, running, at_once = [], set(), []

    async def one(number):
        async with host.session() as session:
            order.append(number)
            running.add(number)
            at_once.append(len(running))
            await asyncio.sleep(0)
            await session.reset(5, TASK)
            running.discard(number)

    async def scenario():
        await asyncio.gather(*map(one, range(6)))

    run(scenario(), host)
    assert order == list(range(6)) and max(at_once) == 2


def test_a_cancelled_wait_takes_no_place():
    host = hosted(mode="inline", max_episodes=1)

    async def scenario():
        async with host.session():
            waiting = asyncio.create_task(play(host))
            await asyncio.sleep(0)
            waiting.cancel()
        return await play(host)

    assert len(run(scenario(), host)) == 3


@pytest.mark.parametrize("mode", MODES)
def test_what_an_environment_raises_is_reported_under_its_name(mode):
    host = hosted("error", mode, max_episodes=1)

    async def scenario():
        with pytest.raises((OSError, RuntimeError), match=r"^the browser died$") as caught:
            await play(host)
        assert caught.type.__name__ == "OSError"
        return await play(host, [])

    assert len(run(scenario(), host)) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", ["sys.exit", "next"])
def test_what_would_end_the_event_loop_or_be_lost_in_it_is_an_error(fault, mode):
    host = hosted(fault, mode)
    with pytest.raises(RuntimeError, match=r"out of credit|StopIteration|^$"):
        run(play(host), host)


@pytest.mark.parametrize(("name", "kind"), [("Gone", "MissingDependencyError"), ("Hosted", "UsageError")])
def test_an_environment_that_cannot_be_built_in_its_process_is_reported(name, kind):
    host = Host(EnvSpec("count", f"{__name__}:{name}", {"no_such": 1}), Hosted())
    with pytest.raises(RuntimeError, match="count") as caught:
        run(play(host), host)
    assert caught.type.__name__ == kind


@pytest.mark.parametrize(
    ("fault", "why"),
    [("exit", "exited with code 3\nno display"), ("kill", "killed by SIGKILL, out of memory")],
)
def test_a_crash_is_named_and_the_next_episode_gets_a_new_process(fault, why, loop_factory):
    host = hosted(fault, max_episodes=1)

    async def scenario():
        before = None
        for _ in range(2):
            async with host.session() as session:
                _, info = await session.reset(5, TASK)
                assert info["pid"] != before
                before = info["pid"]
                for _ in range(2):
                    with pytest.raises(RuntimeError, match=why):
                        await session.step(RIGHT[0])

    run(scenario(), host, loop_factory)


def test_a_hanging_process_and_what_it_started_are_killed_at_the_deadline(loop_factory):
    host = hosted("start and hang", max_episodes=1)

    async def scenario():
        async with host.session() as session:
            _, info = await session.reset(5, TASK)
            started = os.pidfd_open(info["started"])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await session.step(RIGHT[0])
            assert ended(started)
        assert await pid_of(host) != info["pid"]
        return info["pid"]

    pid = run(scenario(), host, loop_factory)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_start_may_be_cancelled_at_any_time(loop_factory):
    host = hosted(max_episodes=1)

    async def scenario():
        for patience in (0, 0.001, 0.01, 0.05):
            with suppress(TimeoutError):
                async with host.session() as session, asyncio.timeout(patience):
                    await session.reset(5, TASK)
        return await play(host)

    assert len(run(scenario(), host, loop_factory)) == 3


def test_a_process_plays_several_episodes_and_is_then_replaced():
    host = hosted(max_episodes=1, recycle_after=2)

    async def scenario():
        return [await pid_of(host) for _ in range(5)]

    one, same, other, as_well, last = run(scenario(), host)
    assert one == same and other == as_well and len({one, other, last}) == 3
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)


def test_a_process_that_died_between_two_episodes_is_replaced():
    host = hosted(max_episodes=1)

    async def scenario():
        pid = await pid_of(host)
        async with host.session():  # the place is free again: the process waits
            os.kill(pid, signal.SIGKILL)
            while host._mode._alive:
                await asyncio.sleep(0.001)
        assert await pid_of(host) != pid

    run(scenario(), host)


def test_what_an_environment_prints_does_no_harm():
    host = hosted("print")
    observation, _, terminated, *_ = run(play(host), host)[-1]
    assert len(observation) > 10**6 and terminated


def test_a_process_that_does_not_close_is_replaced_and_its_episode_does_not_wait(monkeypatch, tmp_path):
    monkeypatch.setattr("agentray.rollout.hosting.base.CLOSE_TIMEOUT_S", 0.05)
    host = hosted("hang in close", log=str(tmp_path / "log"), max_episodes=1)

    async def scenario():
        one, other = await pid_of(host), await pid_of(host)
        monkeypatch.undo()
        return one != other

    assert run(scenario(), host)


def test_a_process_ends_with_its_parent(monkeypatch):
    script = f"""if True:
        import asyncio
        from {__name__} import TASK, hosted
        async def main():
            async with hosted("start and hang").session() as session:
                _, info = await session.reset(5, TASK)
                print(info["pid"], info["started"], flush=True)
                await session.step("")
        asyncio.run(main())
    """
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        processes = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(processes) == 2 and all([ended(process) for process in processes])


class Watched(Game):
    def close(self):
        self._log.set()


async def hang_in_thread(host):
    """Play until the environment hangs, and cancel the episode."""
    episode = asyncio.create_task(play(host))
    assert await asyncio.to_thread(HANGS.wait, 60)
    episode.cancel()
    with pytest.raises(asyncio.CancelledError):
        await episode
    assert host.stuck == 1


@pytest.mark.parametrize("fault", ["hang", "hang in reset"])
@pytest.mark.parametrize("in_time", [True, False])
def test_a_call_that_hangs_in_a_thread_is_stuck_until_it_returns_and_closed_then(fault, in_time):
    host, closed = hosted(mode="thread"), threading.Event()
    host.environment.make = lambda: Watched(fault, closed)

    async def scenario():
        await hang_in_thread(host)
        assert not closed.is_set()
        if in_time:
            RELEASE.set()
            assert await asyncio.to_thread(closed.wait, 60)

    run(scenario(), host)
    RELEASE.set()
    assert closed.wait(60) and host.stuck == 0


def test_a_call_that_did_not_begin_is_not_stuck(monkeypatch):
    monkeypatch.setattr("agentray.rollout.hosting.thread._THREADS", 1)
    monkeypatch.setattr("agentray.rollout.hosting.base.CLOSE_TIMEOUT_S", 0.01)
    host = hosted("hang in reset", "thread")

    async def scenario():
        waiting = asyncio.create_task(hang_in_thread(host))
        await asyncio.to_thread(HANGS.wait, 60)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(play(host), 0.01)
        await waiting
        assert host.stuck == 1

    run(scenario(), host)


@pytest.mark.parametrize("fault", ["hang in close", "error in close"])
def test_a_close_that_hangs_or_fails_in_a_thread_hurts_nobody(fault, monkeypatch, tmp_path):
    monkeypatch.setattr("agentray.rollout.hosting.base.CLOSE_TIMEOUT_S", 0.01)
    host = hosted(fault, "thread", max_episodes=1, log=str(tmp_path / "log"))

    async def scenario():
        return [len(await play(host)) for _ in range(3)]

    assert run(scenario(), host) == [3, 3, 3] and host.stuck == 0
