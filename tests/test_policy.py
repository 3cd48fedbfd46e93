"""A saved policy acts like the trained one, with only NumPy, and a file that is not a policy is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from safetensors.numpy import load_file, save_file
from scipy import stats
from support.files import changed
from support.networks import assert_states_equal, plain_forward, random_weights

from ppocore import ObservationNormalizer, Policy
from ppocore.envs import action_space
from ppocore.errors import UsageError
from ppocore.files import write_atomically
from ppocore.networks import NetworkSpec
from ppocore.policy import POLICY_FORMAT
from ppocore.spaces import ActionAdapter, BoxObservation, ObservationMapping

ROOT = Path(__file__).resolve().parent.parent
INF = np.inf
SPACES = {
    "discrete": Discrete(4),
    "discrete from 3": Discrete(4, start=3),
    "discrete from -2": Discrete(4, start=-2),
    "bounded": Box(np.float32([-0.5, -0.1]), np.float32([0.25, 0.1])),
    "half-bounded": Box(np.float32([-INF, -0.2]), np.float32([0.1, INF])),
    "unbounded": Box(-INF, INF, (3,)),
    "matrix": Box(-0.3, 0.3, (2, 2), np.float64),
    "number": Box(-0.7, 0.7, ()),
}
MAPPING = ObservationMapping(BoxObservation((2, 3)))
BATCH = np.random.default_rng(9).normal(0.0, 1.0, (40, 2, 3))
# What the normalizer has seen: some of BATCH is more than 10 standard deviations from the mean of its first column.
SEEN = np.random.default_rng(8).normal(0.3, [0.1, 0.5, 1.0, 1.0, 2.0, 3.0], (50, 6))


def make_policy(space, normalized=False, seed=0):
    adapter = ActionAdapter(action_space(space))
    spec = NetworkSpec(6, adapter.kind, adapter.size, (8, 5), choices=adapter.choices)
    weights = random_weights(spec, np.random.default_rng(seed))
    if not normalized:
        return Policy(spec, weights, adapter, MAPPING)
    normalizer = ObservationNormalizer((6,))
    normalizer.update(SEEN)
    return Policy(spec, weights, adapter, MAPPING, normalizer.state())


def modes(policy, space, observations, normalized):
    """The most probable action of each observation, by a plain forward pass and NumPy's clip."""
    flat = observations.reshape(len(observations), -1)
    if normalized:
        flat = np.clip((flat - SEEN.mean(axis=0)) / np.sqrt(SEEN.var(axis=0) + 1e-8), -10.0, 10.0)
    parameters, _ = plain_forward(policy.spec, policy.weights, flat.astype(np.float32))
    if isinstance(space, Discrete):
        return parameters.argmax(axis=1) + space.start
    means = parameters[:, : policy.spec.action_size].reshape(-1, *space.shape)
    return np.clip(means, space.low, space.high)


@pytest.fixture(params=SPACES)
def space(request):
    return SPACES[request.param]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "policy.safetensors"
    make_policy(SPACES["bounded"], normalized=True).save(path)
    return path


@pytest.mark.parametrize("normalized", [False, True])
def test_saved_and_loaded_it_takes_the_most_probable_actions(space, normalized, tmp_path):
    policy = make_policy(space, normalized)
    policy.save(tmp_path / "policy.safetensors")
    expected = modes(policy, space, BATCH, normalized)
    for source in (policy, Policy.load(tmp_path), Policy.load(str(tmp_path / "policy.safetensors"))):
        actions = source.act(BATCH)
        assert actions.shape == (40, *space.shape)
        assert actions.dtype == space.dtype
        np.testing.assert_allclose(actions, expected, rtol=1e-6, atol=1e-6)
    assert len({np.asarray(action).tobytes() for action in actions}) > 2


@pytest.mark.parametrize("normalized", [False, True])
def test_one_observation_gives_the_action_of_its_row_as_the_environment_takes_it(space, normalized):
    policy = make_policy(space, normalized)
    for observation, expected in zip(BATCH, policy.act(BATCH), strict=True):
        action = policy.act(observation)
        if isinstance(space, Discrete):
            assert type(action) is int
        else:
            assert np.asarray(action).dtype == space.dtype
        assert space.contains(np.asarray(action, space.dtype))
        np.testing.assert_allclose(action, expected, rtol=1e-6)
    assert policy.act(BATCH[:1]).shape == (1, *space.shape)


def test_lists_and_integers_are_observations_too():
    policy = make_policy(SPACES["discrete"])
    observation = [[1, 0, -2], [3, 1, 0]]
    assert policy.act(observation) == policy.act(np.array(observation, np.float64)) == policy.act([observation])[0]


@pytest.mark.parametrize("shape", [(), (3,), (6,), (3, 2), (4, 6), (4, 3, 2), (2, 2, 2, 3)])
def test_an_observation_of_another_shape_is_refused_with_both_shapes(shape):
    with pytest.raises(ValueError, match="observation has shape") as error:
        make_policy(SPACES["discrete"]).act(np.zeros(shape))
    assert str(shape) in str(error.value)
    assert "(2, 3)" in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, INF, -INF])
@pytest.mark.parametrize("normalized", [False, True])
def test_an_observation_that_is_not_finite_is_refused(bad, normalized):
    batch = BATCH.copy()
    batch[17, 1, 2] = bad
    policy = make_policy(SPACES["discrete"], normalized)
    for observation in (batch, batch[17]):
        with pytest.raises(ValueError, match="observation is not finite"):
            policy.act(observation)


def test_sampled_actions_follow_the_distribution_and_the_generator():
    policy = make_policy(Discrete(4, start=3))
    parameters, _ = plain_forward(policy.spec, policy.weights, BATCH[:1].reshape(1, 6))
    probabilities = np.exp(parameters[0]) / np.exp(parameters[0]).sum()
    same = np.repeat(BATCH[:1], 100_000, axis=0)
    first, again, other = (policy.act(same, False, rng=np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert stats.chisquare(np.bincount(first - 3, minlength=4), probabilities * len(same)).pvalue > 1e-6
    unseeded = policy.act(same, deterministic=False)
    assert stats.chisquare(np.bincount(unseeded - 3, minlength=4), probabilities * len(same)).pvalue > 1e-9


def test_sampled_continuous_actions_are_normal_around_the_mode_and_clipped():
    free, bounded = make_policy(SPACES["unbounded"]), make_policy(Box(-0.3, 0.3, (3,)))
    same = np.repeat(BATCH[:1], 50_000, axis=0)
    actions = free.act(same, False, rng=np.random.default_rng(1))
    z = (actions - free.act(BATCH[0])) / np.exp(free.weights["log_std"].astype(np.float64))
    for i in range(3):
        assert stats.kstest(z[:, i], "norm", method="asymp").pvalue > 1e-6
    clipped = bounded.act(same, False, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(clipped, np.clip(actions, np.float32(-0.3), np.float32(0.3)))


def test_acting_changes_nothing(file):
    policy, before = Policy.load(file), load_file(file)
    first = policy.act(BATCH)
    for deterministic in (True, False):
        policy.act(100.0 * BATCH, deterministic)
    assert np.array_equal(policy.act(BATCH), first)
    policy.save(file)
    assert_states_equal(load_file(file), before)


def test_a_space_goes_through_json_and_back(space):
    adapter = ActionAdapter(action_space(space))
    again = ActionAdapter.from_dict(json.loads(json.dumps(adapter.to_dict(), allow_nan=False)))
    assert (again.kind, again.size, again.to_dict()) == (adapter.kind, adapter.size, adapter.to_dict())


def test_loading_and_acting_imports_no_environment_library_and_no_framework(file, tmp_path):
    code = (
        "import json, sys, numpy\n"
        "from ppocore import Policy\n"
        f"action = Policy.load({str(file)!r}).act(numpy.ones((2, 3)))\n"
        "names = 'gymnasium torch paddle jax tqdm threadpoolctl scipy hypothesis'.split()\n"
        "print(json.dumps([action.tolist(), [name for name in names if name in sys.modules]]))"
    )
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    action, imported = json.loads(done.stdout)
    assert imported == []
    assert action == pytest.approx(Policy.load(file).act(np.ones((2, 3))).tolist())


def refusal(path):
    with pytest.raises(UsageError) as error:
        Policy.load(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_path_without_a_policy_is_a_usage_error(tmp_path):
    assert "there is no policy" in refusal(tmp_path)
    assert "there is no policy" in refusal(tmp_path / "absent.safetensors")
    assert "there is no policy" in refusal(tmp_path / "absent" / "run")


def test_a_truncated_file_is_a_usage_error_wherever_it_ends(file):
    content = file.read_bytes()
    for length in [*range(0, len(content), 97), 7, 8, 9, len(content) - 1]:
        file.write_bytes(content[:length])
        assert "not a readable safetensors file" in refusal(file)


def test_a_file_of_something_else_is_a_usage_error(tmp_path):
    text, tensors = tmp_path / "notes.txt", tmp_path / "other.safetensors"
    text.write_text("not a tensor in sight, and more than eight bytes of it\n")
    assert "not a readable safetensors file" in refusal(text)
    for metadata in (None, {"format": "pt"}, {"ppocore": "{"}, {"ppocore": "[]"}, {"ppocore": '{"format": "x"}'}):
        save_file({"weight": np.zeros(3)}, tensors, metadata)
        assert "not a ppocore policy" in refusal(tensors)


def test_a_newer_version_is_a_usage_error_that_names_both(file):
    changed(file, lambda tensors, description: description.update(version=4), POLICY_FORMAT)
    message = refusal(file)
    assert "version 4" in message
    assert "reads 1 and 2 and 3: upgrade ppocore" in message


def test_a_file_of_the_first_version_acts_the_same(file):
    expected = Policy.load(file).act(BATCH)

    def older(tensors, description):
        del description["observation_space"], description["network"]["choices"], description["network"]["learn_log_std"]
        del description["action_space"]["policy"]
        description.update(version=1, observation_shape=[2, 3])

    changed(file, older, POLICY_FORMAT)
    assert np.array_equal(Policy.load(file).act(BATCH), expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors, description: tensors.pop("actor.output.weight"),
        lambda tensors, description: tensors.update({"log_std": np.zeros(5, np.float32)}),
        lambda tensors, description: tensors.pop("observation_normalizer.mean"),
        lambda tensors, description: tensors.update({"observation_normalizer.mean": np.zeros(5)}),
        lambda tensors, description: description.pop("network"),
        lambda tensors, description: description.pop("action_space"),
        lambda tensors, description: description.update(network="{"),
        lambda tensors, description: description.update(network=[]),
        lambda tensors, description: description.update(network={"hidden_sizes": [8]}),
        lambda tensors, description: description.update(action_space={}),
        lambda tensors, description: description["observation_space"].update(shape=[2, 4]),
        lambda tensors, description: description["observation_space"].update(kind="graph"),
        lambda tensors, description: description.update(observation_space=None),
        lambda tensors, description: description.pop("observation_space"),
    ],
)
def test_a_policy_file_that_contradicts_itself_is_a_usage_error(file, change):
    changed(file, change, POLICY_FORMAT)
    assert "does not describe a policy" in refusal(file)


def test_writing_flushes_the_content_before_it_takes_the_name(tmp_path, monkeypatch):
    target, calls = tmp_path / "file", []
    target.write_bytes(b"old")

    def recording(name, original):
        def call(*args):
            calls.append((name, target.read_bytes()))
            return original(*args)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, recording(name, getattr(os, name)))
    write_atomically(target, b"new")
    assert calls[:2] == [("fsync", b"old"), ("replace", b"old")]
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(file, monkeypatch, failing, error):
    before = file.read_bytes()

    def fail(*args):
        raise error

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(UsageError if isinstance(error, OSError) else KeyboardInterrupt):
        make_policy(SPACES["bounded"], seed=1).save(file)
    monkeypatch.undo()
    assert os.listdir(file.parent) == [file.name]
    assert file.read_bytes() == before
    make_policy(SPACES["bounded"], seed=1).save(file)
    assert file.read_bytes() != before


def test_equal_policies_are_equal_files(file, tmp_path):
    for number in range(6):  # several keys of metadata would come in another order every time
        Policy.load(file).save(tmp_path / f"{number}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.glob("?.safetensors")}) == 1


def test_saving_into_no_directory_names_the_path(file, tmp_path):
    with pytest.raises(UsageError, match=r"there is no directory .*absent"):
        Policy.load(file).save(tmp_path / "absent" / "policy.safetensors")


def test_a_batch_of_none_gives_no_actions_and_a_value_beyond_float32_is_refused(file):
    policy = Policy.load(file)
    assert len(policy.act(BATCH[:0])) == 0
    with pytest.raises(ValueError, match="beyond float32"):
        Policy(policy.spec, policy.weights, policy.adapter, policy.mapping).act(BATCH * 1e300)
