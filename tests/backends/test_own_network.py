"""A user's own network in torch or paddle; the same tests for both."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from ppocore import Policy, PPOConfig, train
from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.errors import NonFiniteError, UsageError
from ppocore.evaluation import evaluate

CONFIG = PPOConfig(
    total_steps=1024, num_envs=4, num_steps=16, minibatch_size=32, update_epochs=2, hidden_sizes=(8,)
)  # 16 iterations of 4 updates


class Sides(gym.Env):
    """One step: for an observation of -1 or 1, the right action is 0 or 1."""

    observation_space = Box(-1.0, 1.0, (2,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._side = int(self.np_random.integers(2))
        return np.array([2 * self._side - 1, 0.5], np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), float(action == self._side), True, False, {}


class Torch:
    """What the tests need of torch."""

    name = "torch"

    def __init__(self):
        import torch

        from ppocore.backends.torch_backend import TorchBackend

        self.framework, self.nn, self.Module, self.backend = torch, torch.nn, torch.nn.Module, TorchBackend
        self.cat, self.seed, self.tensor = torch.cat, torch.manual_seed, torch.tensor
        self.cuda = torch.cuda.is_available()

    def parameter(self, array):
        return self.nn.Parameter(self.framework.tensor(array))

    def freeze(self, module):
        module.requires_grad_(False)

    def array(self, tensor):
        return tensor.detach().numpy().copy()

    def load(self, linear, weight, bias):
        linear.weight.data = self.framework.tensor(weight.T.copy())
        linear.bias.data = self.framework.tensor(bias)

    def canonical(self, array):
        return array.T

    def recording(self):
        return self.framework.is_grad_enabled()


class Paddle(Torch):
    """What the tests need of paddle."""

    name = "paddle"

    def __init__(self):
        import paddle

        from ppocore.backends.paddle_backend import PaddleBackend

        self.framework, self.nn, self.Module, self.backend = paddle, paddle.nn, paddle.nn.Layer, PaddleBackend
        self.cat, self.seed, self.tensor = paddle.concat, paddle.seed, paddle.to_tensor
        self.cuda = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0

    def parameter(self, array):
        assign = self.nn.initializer.Assign(array)
        return self.framework.create_parameter(list(array.shape), "float32", default_initializer=assign)

    def freeze(self, module):
        for parameter in module.parameters():
            parameter.stop_gradient = True

    def load(self, linear, weight, bias):
        linear.weight.set_value(weight)
        linear.bias.set_value(bias)

    def canonical(self, array):
        return array


@pytest.fixture(params=[Torch, Paddle], ids=["torch", "paddle"])
def fw(request):
    pytest.importorskip(request.param.name)
    framework = request.param()
    framework.seed(0)
    return framework


def network(fw, *, inputs=2, outputs=2, forward=None, tied=False, log_std=None):
    """Two small stacks, with the variations of a test."""

    class Network(fw.Module):
        def __init__(self):
            super().__init__()
            self.actor = fw.nn.Sequential(fw.nn.Linear(inputs, 8), fw.nn.Tanh(), fw.nn.Linear(8, outputs))
            self.critic = fw.nn.Sequential(fw.nn.Linear(inputs, 8), fw.nn.Tanh(), fw.nn.Linear(8, 1))
            if tied:
                self.critic[0].weight = self.actor[0].weight
            if log_std is not None:
                self.log_std = fw.parameter(log_std)

        def forward(self, observations):
            policy, value = self.actor(observations), self.critic(observations).squeeze(1)
            if log_std is not None:
                policy = fw.cat([policy, self.log_std.expand_as(policy)], 1)
            return (policy, value) if forward is None else forward(self, policy, value)

    return Network()


def run(fw, module, env=Sides, config=CONFIG, **settings):
    return train(env, config, backend=fw.backend(network=module), **settings)


def assert_equal_weights(actual, expected):
    assert set(actual) == set(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype == np.float32, name
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


@pytest.mark.parametrize("precision", ["exact", "float32"])
def test_it_learns_and_its_policy_acts(fw, precision):
    config = CONFIG.replace(total_steps=4096, learning_rate=1e-2, entropy_coef=0.0, precision=precision)
    result = run(fw, network(fw), config=config)
    assert result.mean_return > 0.9
    assert [result.policy.act(np.array([side, 0.5])) for side in (-1.0, 1.0)] == [0, 1]
    assert evaluate(result.policy, Sides, episodes=20).episode_returns == [1.0] * 20


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_the_built_in_architecture_and_weights_give_the_built_in_run(fw, env):
    class Recording(NumpyBackend):
        def load_state(self, state):
            super().load_state(state)
            initial.update(self.weights())

    initial: dict[str, np.ndarray] = {}
    expected = train(env, CONFIG, backend=Recording, seed=3).policy.weights
    inputs, outputs = initial["actor.hidden.0.weight"].shape[0], initial["actor.output.weight"].shape[1]
    module = network(fw, inputs=inputs, outputs=outputs, log_std=initial.get("log_std"))
    places = {"hidden.0": 0, "output": 2}
    for head in ("actor", "critic"):
        for layer, place in places.items():
            weight, bias = (initial[f"{head}.{layer}.{part}"] for part in ("weight", "bias"))
            fw.load(getattr(module, head)[place], weight, bias)
    found = run(fw, module, env, seed=3).policy.weights
    for layer, place in places.items():
        found = {name.replace(f".{place}.", f".{layer}."): array for name, array in found.items()}
    found = {name: fw.canonical(array) if array.ndim == 2 else array for name, array in found.items()}
    assert any((found[name] != array).any() for name, array in initial.items())
    assert_equal_weights(found, expected)


def test_frozen_and_unused_parameters_do_not_change(fw):
    module = network(fw)
    fw.freeze(module.critic[0])
    module.unused = fw.nn.Linear(3, 3)
    before = {name: fw.array(p) for name, p in module.named_parameters()}
    result = run(fw, module)
    after = {name: fw.array(p) for name, p in module.named_parameters()}
    kept = {"critic.0.weight", "critic.0.bias", "unused.weight", "unused.bias"}
    assert {name for name in before if np.array_equal(before[name], after[name])} == kept
    assert set(result.policy.weights) == set(before) - {"critic.0.weight", "critic.0.bias"}
    assert_equal_weights(result.policy.weights, {n: after[n].astype(np.float32) for n in result.policy.weights})
    assert "adam.m.unused.bias" in result.history[-1]["tensors"]


def test_tied_parameters_are_one(fw):
    module = network(fw, tied=True)
    result = run(fw, module)
    assert module.critic[0].weight is module.actor[0].weight
    assert "critic.0.weight" not in result.policy.weights

    def by_hand(self, policy, value):  # the same network, untied: the policy's weight used a second time
        hidden = self.actor[0](self.observed) - self.actor[0].bias + self.critic[0].bias
        return policy, self.critic[2](self.critic[1](hidden)).squeeze(1)

    fw.seed(0)
    other = network(fw, tied=True, forward=by_hand)
    other.register_forward_pre_hook(lambda layer, inputs: setattr(layer, "observed", inputs[0]))
    assert_equal_weights(run(fw, other).policy.weights, result.policy.weights)


def test_integer_buffers_of_a_network_stay_integers(fw):
    def gather(self, policy, value):
        return policy[:, self.order], value

    module = network(fw, forward=gather)
    module.register_buffer("order", fw.tensor([1, 0]))
    run(fw, module)
    assert "int64" in str(module.order.dtype)


WRONG_OUTPUTS = [
    (lambda self, policy, value: (policy[:, :1], value), r"distribution parameters have shape \(2, 1\).*\(2, 2\)"),
    (lambda self, policy, value: (policy, value.unsqueeze(1)), r"values have shape \(2, 1\).*expected \(2,\)"),
    (lambda self, policy, value: policy, "must return a pair"),
    (lambda self, policy, value: (policy, None), "values have shape none, being of type NoneType"),
    (lambda self, policy, value: 1 / 0, r"fails on observations of shape \(2, 2\): division by zero"),
]


@pytest.mark.parametrize(("forward", "said"), WRONG_OUTPUTS, ids=["policy", "values", "pair", "none", "raises"])
def test_outputs_of_the_wrong_shape_are_refused_before_anything_is_created(fw, forward, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        run(fw, network(fw, forward=forward), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_wrong_inputs_and_continuous_outputs_are_refused(fw, tmp_path):
    with pytest.raises(UsageError, match=r"fails on observations of shape \(2, 2\)"):
        run(fw, network(fw, inputs=3), run_dir=tmp_path / "run")
    with pytest.raises(UsageError, match=r"distribution parameters have shape \(2, 1\).*expected \(2, 2\)"):
        run(fw, network(fw, inputs=3, outputs=1), "Pendulum-v1", run_dir=tmp_path / "run")  # no log_std
    assert not (tmp_path / "run").exists()


def test_a_network_without_trainable_parameters_is_refused(fw, tmp_path):
    module = network(fw)
    fw.freeze(module)
    with pytest.raises(UsageError, match="no parameter to train"):
        run(fw, module, run_dir=tmp_path / "run")
    with pytest.raises(UsageError, match=r"network=.* must be a"):
        run(fw, lambda observations: observations, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_cuda_asked_for_and_absent_is_refused_before_anything_is_created(fw, tmp_path):
    if fw.cuda:
        pytest.skip("this machine has a CUDA device")
    module = network(fw)
    for backend in (fw.backend(network=module), fw.name):
        with pytest.raises(UsageError, match=f"{fw.name} finds no CUDA device here"):
            train(Sides, CONFIG, backend=backend, device="cuda", run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert all("float32" in str(p.dtype) for p in module.parameters())  # untouched


def test_its_policy_file_is_refused_with_a_sentence(fw, tmp_path):
    from safetensors.numpy import load_file

    result = run(fw, network(fw), run_dir=tmp_path / "run")
    with pytest.raises(UsageError, match="holds the weights of a network of your own, which NumPy cannot run"):
        Policy.load(tmp_path / "run")
    assert_equal_weights(load_file(tmp_path / "run" / "policy.safetensors"), result.policy.weights)


def test_a_loss_that_is_not_finite_ends_the_run_with_the_last_complete_iteration(fw, tmp_path):
    calls = []

    def late(self, policy, value):
        calls.extend([1] * fw.recording())
        return policy, value * (float("nan") if len(calls) == 7 else 1.0)  # the third update of iteration 2

    module = network(fw, forward=late)
    with pytest.raises(NonFiniteError, match="value output is not finite at update 7"):
        run(fw, module, run_dir=tmp_path / "run")
    fw.seed(0)
    expected = run(fw, network(fw), reporters=[StopAfterOne()])
    assert expected.iterations == 1
    for name, parameter in module.named_parameters():
        np.testing.assert_array_equal(fw.array(parameter), expected.policy.weights[name])


class StopAfterOne:
    def begin(self, start): ...
    def close(self): ...
    def end(self, result): ...
    def iteration(self, metrics):
        raise KeyboardInterrupt


def test_ctrl_c_during_an_update_leaves_the_last_complete_iteration(fw, tmp_path):
    calls = []

    def late(self, policy, value):
        calls.extend([1] * fw.recording())
        if len(calls) == 7:
            raise KeyboardInterrupt
        return policy, value

    module = network(fw, forward=late)
    result = run(fw, module, run_dir=tmp_path / "run")
    assert (result.interrupted, result.iterations) == (True, 1)
    for name, parameter in module.named_parameters():
        np.testing.assert_array_equal(fw.array(parameter), result.policy.weights[name])
