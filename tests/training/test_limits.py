"""What no memory, timer or thread pool can hold is refused before anything is made."""

import pytest

from ppocore import PPOConfig, Runtime, train
from ppocore.errors import UsageError
from ppocore.networks import NetworkSpec
from ppocore.training import check_memory, memory


def test_the_memory_of_a_network_is_worked_out(monkeypatch):
    # 10 * 1000 + 1000 + 1000 * 2 + 2 weights of the actor, 10 * 1000 + 1000 + 1000 + 1 of the critic: 25,003, each of
    # which is kept three times as float32 and float64 and has a gradient: 44 bytes.
    config = PPOConfig(hidden_sizes=(1000,), num_envs=1, num_steps=1, minibatch_size=1)
    spec = NetworkSpec(10, "categorical", 2, (1000,))
    needed = 25_003 * 44 + 1000 * 8 + 2_000 + 48 + 40
    monkeypatch.setattr(memory, "machine_memory", lambda: needed)
    check_memory(config, spec)
    monkeypatch.setattr(memory, "machine_memory", lambda: needed - 1)
    with pytest.raises(UsageError, match="a network with hidden_sizes=1000 needs at least 0 GiB of memory"):
        check_memory(config, spec)
    monkeypatch.setattr(memory, "machine_memory", lambda: None)
    check_memory(config, spec)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"hidden_sizes": (10**6, 10**6)}, "a network with hidden_sizes=1000000 1000000 needs at least "),
        ({"num_envs": 10**12, "total_steps": 10**15}, "a rollout of num_envs=1000000000000 x num_steps=32 steps needs"),
        ({"num_steps": 10**13, "total_steps": 10**15}, "num_steps=10000000000000 steps needs at least "),
        ({"hidden_sizes": (10**30,)}, "hidden_sizes=(1000000000000000000000000000000,) is out of range"),
        ({"total_steps": 10**100}, "... is out of range: it must be at most 9007199254740992"),
    ],
)
def test_huge_sizes(settings, sentence):
    with pytest.raises(UsageError) as refused:
        train("CartPole-v1", **settings)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("epsilon", [5e-324, 1e-31, 1e7, 1e308])
def test_an_epsilon_beyond_what_adam_can_divide_by(epsilon):
    with pytest.raises(UsageError, match="is out of range: it must be between 1e-30 and 1e6"):
        PPOConfig(adam_epsilon=epsilon)


def test_a_network_without_hidden_layers():
    check_memory(PPOConfig(hidden_sizes=()), NetworkSpec(10, "categorical", 2, ()))


@pytest.mark.parametrize(
    ("runtime", "sentence"),
    [
        ({"threads": 10**30}, "threads=1000000000000000000000000000000 is out of range: it must be between 1 and 1024"),
        ({"threads": 1025}, "between 1 and 1024"),
        ({"threads": 0}, "between 1 and 1024"),
        ({"env_timeout": 1e18}, "env_timeout=1e[+]18 is out of range: it must be greater than 0 and at most 1000000"),
        ({"env_timeout": 0.0}, "greater than 0"),
    ],
)
def test_what_no_timer_and_no_thread_pool_takes(runtime, sentence):
    with pytest.raises(UsageError, match=sentence):
        Runtime(**runtime)
    assert Runtime(threads=1024, env_timeout=1e6).threads == 1024
