"""Worker processes begin and end cleanly, whatever happens to them and to the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import gymnasium as gym
import numpy as np
import pytest
from support.environments import workers

from ppocore.envs import make_environments
from ppocore.envs.infos import pickled, unpickled
from ppocore.errors import EnvironmentFault, UsageError

pytestmark = pytest.mark.posix

PATIENCE = 60.0
"""Seconds after which a process that should have ended never will."""

ENVIRONMENT = """
import os, sys, time
import gymnasium as gym, numpy as np
from ppocore.envs import make_environments

class Slow(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    def __init__(self):
        os.write(1, b"%d\\n" % os.getpid())  # at once, as several processes write
        {making}
    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {{}}
    def step(self, action):
        if not hasattr(self, "stepped"):
            self.stepped = os.write(1, b"stepping\\n")
        {stepping}
        return np.zeros(1, np.float32), 0.0, False, False, {{}}

{first}
with make_environments(Slow, 3, seed=0, vectorization="async") as environments:
    environments.reset()
    while True:
        environments.step(np.zeros(3, np.int64))
"""


@contextmanager
def started(making="pass", stepping="pass", first=""):
    """Start the program in a process group of its own, of which nothing is left if the test fails."""
    code = ENVIRONMENT.format(making=making, stepping=stepping, first=first)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def ended(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return True


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="it reads /proc")
@pytest.mark.parametrize("stepping", ["pass", "time.sleep(10**6)"])
def test_workers_end_with_a_parent_that_is_killed(stepping):
    with started(stepping=stepping) as parent:
        pids = [int(parent.stdout.readline()) for _ in range(4)][1:]  # the first is the parent's own
        assert [parent.stdout.readline() for _ in range(3)] == 3 * ["stepping\n"]
        parent.kill()
        parent.wait()
        wait_for(lambda: all(ended(pid) for pid in pids))
        assert parent.stderr.read() == ""


@pytest.mark.parametrize("known", [1, 2, 4])
def test_an_interrupt_while_workers_start_prints_one_traceback_at_most(known):
    """The one is that of the program itself, which does not catch it."""
    with started(making="time.sleep(0.2)") as parent:
        for _ in range(known):
            parent.stdout.readline()
        os.killpg(parent.pid, signal.SIGINT)
        _, errors = parent.communicate(timeout=PATIENCE)
    assert parent.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_an_interrupt_before_a_worker_can_handle_it_prints_nothing_of_the_worker():
    interrupting = "os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), 2))"
    with started(first=interrupting) as parent:
        _, errors = parent.communicate(timeout=PATIENCE)
    assert errors.rstrip().endswith("a worker process ended while making it; what it printed says why")
    assert "Process Worker" not in errors


def test_too_few_open_files_are_one_sentence():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = len(os.listdir("/dev/fd"))
    try:
        for more in (3, 6, 9):
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + more, hard))
            with pytest.raises(UsageError, match=r'16 worker processes need more open files .* "ulimit -n".*num_envs'):
                make_environments("CartPole-v1", 16, seed=0, vectorization="async")
            assert not workers()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Hangs(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (1,), np.float32), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        if action:
            time.sleep(1000)
        return np.zeros(1, np.float32), 0.0, False, False, {}


def test_the_worker_that_does_not_answer_is_named():
    with make_environments(Hangs, 3, seed=0, vectorization="async", timeout=1.0) as environments:
        environments.reset()
        with pytest.raises(EnvironmentFault, match=r"environment 1 failed in step.*longer than env_timeout=1 seconds"):
            environments.step(np.array([0, 1, 0]))
    assert not workers()


def test_an_environment_that_interrupts_itself_ends_the_run_as_an_interrupt():
    class Interrupting(Hangs):
        def step(self, action):
            raise KeyboardInterrupt

    for vectorization in ("sync", "async"):
        with make_environments(Interrupting, 2, seed=0, vectorization=vectorization) as environments:
            environments.reset()
            with pytest.raises(KeyboardInterrupt):
                environments.step(np.zeros(2, np.int64))
    assert not workers()


def test_of_an_info_what_can_be_pickled_arrives():
    info = {"x": 1, "f": lambda: None, "array": np.arange(3), 4: {"deep": np.float32(0.5)}}
    found = unpickled(pickled(info))
    assert found.pop("array").tolist() == [0, 1, 2]
    assert found == {"x": 1, 4: {"deep": 0.5}}
    assert unpickled(b"nothing") == {}
