"""The settings of each iteration's updates, recorded by a backend."""

from itertools import pairwise

import numpy as np
import pytest

from ppocore import PPOConfig, train
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.training.learner import decisive
from ppocore.training.schedules import AdaptivePenalty, AdaptiveRate

SMALL = PPOConfig(
    total_steps=8 * 128, num_envs=4, num_steps=32, minibatch_size=32, update_epochs=3, hidden_sizes=(16,)
)  # 8 iterations of 12 updates


class Recorder(NumpyBackend):
    """Records every update and the state before it."""

    made: list = []  # noqa: RUF012 (of the class: the trainer makes the backend)

    def update(self, batch, objective, step):
        kept = {name: array.copy() for name, array in batch.arrays().items()}
        stats = super().update(batch, objective, step)
        self.made.append((kept, objective, step, stats, self.state()))
        return stats


@pytest.fixture
def recorded():
    Recorder.made = []

    def run(env="CartPole-v1", **changes):
        Recorder.made.clear()
        return train(env, SMALL.replace(**changes), backend=Recorder), list(Recorder.made)

    return run


def test_the_penalty_follows_the_papers_rule():
    penalty = AdaptivePenalty(1.0, 0.01)
    found = []
    for divergence in (0.02, 0.0151, 0.0149, 0.0067, 0.0066, 0.001):
        penalty.update(divergence)
        found.append(penalty.value)
    assert found == [2.0, 4.0, 4.0, 4.0, 2.0, 1.0]
    fixed = AdaptivePenalty(3.0, None)
    fixed.update(100.0)
    assert fixed.value == 3.0


def test_the_penalty_stays_a_number():
    penalty = AdaptivePenalty(1.0, 0.01)
    for _ in range(2000):
        penalty.update(0.0)
    assert penalty.value == 1e-9
    for _ in range(2000):
        penalty.update(1.0)
    assert penalty.value == 1e9


def test_the_learning_rate_follows_the_divergence():
    rate = AdaptiveRate(0.01)
    found = []
    for divergence in (0.021, 0.019, 0.0051, 0.0049, 0.0):
        rate.update(divergence)
        found.append(rate.value)
    assert found == pytest.approx([1 / 1.5, 1 / 1.5, 1 / 1.5, 1.0, 1.5])
    for _ in range(100):
        rate.update(1.0)
    assert rate.value == 1e-2


def test_a_run_with_a_target_adapts_penalty_and_rate_to_the_divergence(recorded):
    result, made = recorded(
        objective="kl", kl_penalty_target=1e-3, adaptive_lr_kl=1e-3, anneal_learning_rate=False, learning_rate=3e-3
    )
    rows = result.history
    for row, following in pairwise(rows):
        moved = row["kl_of_iteration"]
        factor = 0.5 if moved < 1e-3 / 1.5 else 2.0 if moved > 1.5e-3 else 1.0
        assert following["kl_coef"] == row["kl_coef"] * factor
        faster = 1.5 if moved < 0.5e-3 else 1 / 1.5 if moved > 2e-3 else 1.0
        assert following["learning_rate"] == pytest.approx(row["learning_rate"] * faster)
    assert len({row["kl_coef"] for row in rows}) > 1
    assert len({row["learning_rate"] for row in rows}) > 1
    assert [o.kl_coef for _, o, _, _, _ in made[::12]] == [row["kl_coef"] for row in rows]
    assert not any(o.clip for _, o, _, _, _ in made)


def test_the_divergence_of_an_iteration_is_that_of_its_two_policies(recorded):
    """The policy's parameters of the rollout against those that the weights after it give, in plain sums."""
    result, made = recorded(objective="kl", kl_penalty_target=1e-3, update_epochs=1, learning_rate=1e-2)
    batches = [kept for kept, *_ in made[:4]]
    observations = np.concatenate([b["observations"] for b in batches])
    old = np.concatenate([b["old_parameters"] for b in batches])
    backend = NumpyBackend(result.policy.spec)
    backend.load_state(made[3][4])
    new, _ = backend.forward(observations)

    def log_softmax(z):
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    kl = (np.exp(log_softmax(old)) * (log_softmax(old) - log_softmax(new))).sum(axis=1).mean()
    assert result.history[0]["kl_of_iteration"] == pytest.approx(kl, rel=1e-5)
    assert kl > 1e-4


def test_entropy_is_lowered_linearly_or_by_a_factor(recorded):
    linear, _ = recorded(anneal_entropy_coef=True, entropy_coef=0.8)
    assert [row["entropy_coef"] for row in linear.history] == pytest.approx([0.8 * (8 - i) / 8 for i in range(8)])
    decayed, _ = recorded(entropy_decay=0.5, entropy_coef=0.8)
    assert [row["entropy_coef"] for row in decayed.history] == pytest.approx([0.8 * 0.5**i for i in range(8)])


def test_the_critic_has_its_own_rate_annealed_alike(recorded):
    _, made = recorded(critic_learning_rate=1e-2, learning_rate=1e-3)
    for i, (_, _, step, _, _) in enumerate(made):
        remaining = 1 - (i // 12) / 8
        assert step.learning_rate == pytest.approx(1e-3 * remaining)
        assert step.critic_learning_rate == pytest.approx(1e-2 * remaining)


def test_with_separate_optimizers_target_kl_freezes_the_actor_and_not_the_critic(recorded):
    result, made = recorded(separate_optimizers=True, target_kl=1e-4, learning_rate=1e-2)
    frozen_steps = 0
    for iteration in range(8):
        updates = made[12 * iteration : 12 * iteration + 12]
        over = [i for i, (_, _, _, stats, _) in enumerate(updates) if stats.approx_kl > 1e-4]
        first = over[0] if over else 12
        for i, (_, _, step, _, state) in enumerate(updates):
            assert step.separate
            assert step.freeze_actor == (i > first)
            frozen_steps += i > first
            assert state.get("adam.held", 0) == frozen_steps
            if i > first:
                before = updates[i - 1][4]
                same = {name: np.array_equal(state[name], before[name]) for name in state if name in before}
                assert all(equal for name, equal in same.items() if "actor." in name)
                assert not any(equal for name, equal in same.items() if "critic." in name and "weight" in name)
    assert frozen_steps > 20
    assert result.history[-1]["updates"] == 8 * 12
    together, _ = recorded(target_kl=1e-4, learning_rate=1e-2)
    assert together.history[-1]["updates"] < 8 * 12


@pytest.mark.parametrize("rounding", [0.0, 4.9e-17, 3e-16, 4e-13])
def test_target_kl_below_rounding_does_not_stop_where_only_rounding_differs(rounding):
    """Before an iteration's first step approx_kl is 0 but for rounding, which differs from backend to backend."""

    class Rounding(NumpyBackend):
        def update(self, batch, objective, step):
            return super().update(batch, objective, step)._replace(approx_kl=rounding)

    result = train("CartPole-v1", SMALL.replace(target_kl=1e-17), backend=Rounding)
    assert result.history[-1]["updates"] == 8 * 12


def test_target_kl_decides_as_precisely_as_float32():
    """From 2**-16 on it is float32's, as it always was; below, that of multiples of 2**-40."""
    for exponent in np.linspace(-4.8, 1.0, 50):
        assert decisive(10.0**exponent) == float(np.float32(10.0**exponent))
    assert decisive(3e-12) == pytest.approx(3e-12, abs=2.0**-41)


def test_advantages_are_reestimated_before_each_epoch_with_the_current_values(recorded):
    result, made = recorded(recompute_advantages=True, normalize_advantages=False, gamma=0.0, learning_rate=1e-2)
    for index, (kept, _, _, _, _) in enumerate(made):
        # With gamma 0 the return is the reward of 1, and the advantage that less the value.
        np.testing.assert_allclose(kept["returns"], 1.0, atol=1e-6)
        epoch = index // 4 % 3
        if epoch:
            backend = NumpyBackend(result.policy.spec)
            backend.load_state(made[index // 4 * 4 - 1][4])
            _, values = backend.forward(kept["observations"])
            np.testing.assert_allclose(kept["advantages"], 1.0 - values, atol=1e-5)
            assert np.abs(values - kept["values"]).max() > 1e-4  # the rollout's, which the value clip uses


def test_the_divergence_of_an_own_network_needs_no_parts():
    class Own(NumpyBackend):
        own_network = "something"

    for name, value in {
        "critic_learning_rate": 1e-3,
        "separate_optimizers": True,
        "critic_l2_coef": 1e-3,
        "learn_log_std": False,
    }.items():
        with pytest.raises(ValueError, match=f"{name}=.*network of your own"):
            train("Pendulum-v1", SMALL.replace(**{name: value}), backend=Own)
