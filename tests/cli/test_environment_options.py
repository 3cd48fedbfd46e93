"""How an environment is made: given on the command line, recorded, and used by resume and evaluate."""

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import ppocore
from ppocore.cli import main
from ppocore.envs import make_environments, read_arguments, read_wrappers
from ppocore.errors import RunWarning, UsageError
from ppocore.evaluation import evaluate

SETTINGS = {
    "anneal_learning_rate": False,
    "total_steps": 128,
    "num_envs": 2,
    "num_steps": 16,
    "minibatch_size": 16,
    "hidden_sizes": 4,
}
OPTIONS = "--steps 128 --num-envs 2 --num-steps 16 --minibatch-size 16 --hidden-sizes 4 --quiet".split()
OPTIONS.append("--no-anneal-learning-rate")


class Lengths(gym.Env):
    """An environment whose episodes end after ``length`` steps, or never; its rewards are 1."""

    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length=None):
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(2, np.float32), 1.0, self.steps == self.length, False, {}


class WithText(Lengths):
    """An environment one entry of whose observations is no number."""

    observation_space = gym.spaces.Dict(
        {"mission": gym.spaces.Text(10), "a": gym.spaces.Box(-1, 1, (2,)), "b": gym.spaces.Discrete(3)}
    )

    def reset(self, *, seed=None, options=None):
        observation, info = super().reset(seed=seed)
        return {"mission": "go", "a": observation, "b": 1}, info

    def step(self, action):
        observation, *rest = super().step(action)
        return {"mission": "go", "a": observation, "b": 1}, *rest


@pytest.fixture(autouse=True)
def _registered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = dict(gym.registry)
    gym.register("Lengths-v0", Lengths)
    gym.register("WithText-v0", WithText)
    yield
    gym.registry.clear()
    gym.registry.update(before)


def evaluated(capsys, *arguments):
    capsys.readouterr()
    assert main(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def recorded():
    return json.loads(Path("run/config.json").read_text())


def refused(capsys, *arguments):
    capsys.readouterr()
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_recorded_arguments_are_those_of_the_evaluation(capsys):
    assert main(["train", "Lengths-v0", *OPTIONS, "--run-dir", "run", "--env-kwargs", "length=7"]) == 0
    assert recorded()["env_kwargs"] == {"length": 7}
    for path in ("run", "run/policy.safetensors", "run/best.safetensors"):
        assert evaluated(capsys, path, "--episodes", "3")["mean_return"] == 7.0
    assert evaluated(capsys, "run", "--episodes", "3", "--env", "Lengths-v0")["mean_return"] == 7.0
    assert evaluated(capsys, "run", "--episodes", "3", "--env-kwargs", '{"length": 3}')["mean_return"] == 3.0
    main(["evaluate", "run", "--episodes", "2"])
    assert capsys.readouterr().out.startswith("Lengths-v0 (length=7): mean return 7.00")


@pytest.mark.parametrize("given", [["--max-episode-steps", "5"], ["--wrapper", "TimeLimit:max_episode_steps=5"]])
def test_a_time_limit_is_recorded(given, capsys):
    assert main(["train", "Lengths-v0", *OPTIONS, "--run-dir", "run", *given]) == 0
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["mean_length"] == 5.0
    assert evaluated(capsys, "run", "--episodes", "3")["mean_return"] == 5.0
    whole = ppocore.train("Lengths-v0", {**SETTINGS, "total_steps": 256}, max_episode_steps=5).fingerprint
    assert main(["resume", "run", "--steps", "256", "--quiet"]) == 0
    assert capsys.readouterr().out == f"fingerprint {whole}\n"


def test_wrappers_are_recorded_and_used_by_resume_and_evaluate(capsys):
    given = ["--wrapper", "FrameStackObservation:stack_size=3", "--env-kwargs", "length=4"]
    assert main(["train", "Lengths-v0", *OPTIONS, "--run-dir", "run", *given]) == 0
    policy = ppocore.Policy.load("run")
    assert policy.mapping.shape == (3, 2)
    assert evaluated(capsys, "run", "--episodes", "2")["mean_return"] == 4.0
    assert ppocore.resume("run", steps=256).steps == 256
    assert recorded()["wrappers"] == [{"name": "FrameStackObservation", "kwargs": {"stack_size": 3}}]


def test_new_arguments_of_a_resumed_run_are_recorded(capsys):
    assert main(["train", "Lengths-v0", *OPTIONS, "--run-dir", "run", "--env-kwargs", "length=1000"]) == 0
    ppocore.resume("run", steps=256, env_kwargs={"length": 1001})
    assert recorded()["env_kwargs"] == {"length": 1001}


def test_observation_keys(capsys):
    assert "mission" in refused(capsys, "train", "WithText-v0", *OPTIONS, "--run-dir", "none")
    arguments = ["--env-kwargs", "length=4", "--observation-keys", "a", "b"]
    assert main(["train", "WithText-v0", *OPTIONS, "--run-dir", "run", *arguments]) == 0
    assert ppocore.Policy.load("run").mapping.size == 5
    assert evaluated(capsys, "run", "--episodes", "2")["mean_return"] == 4.0


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_wrappers_reach_every_environment(vectorization):
    with make_environments(
        "CartPole-v1", 3, seed=0, wrappers=["FrameStackObservation:stack_size=2"], vectorization=vectorization
    ) as environments:
        assert environments.reset().shape == (3, 2, 4)


def test_a_run_that_a_file_cannot_describe_is_refused_with_what_to_do(capsys):
    ppocore.train(lambda: Lengths(3), SETTINGS, run_dir="run")
    line = refused(capsys, "evaluate", "run")
    assert "were made by a callable (Lengths), which a file cannot store: pass --env with the id" in line
    assert evaluated(capsys, "run", "--episodes", "2", "--env", "Lengths-v0", "--max-episode-steps", "6") == {
        "env": "Lengths-v0",
        "episodes": 2,
        "mean_return": 6.0,
        "std_return": 0.0,
        "min_return": 6.0,
        "max_return": 6.0,
        "cut_off": 2,
    }
    ppocore.train("Lengths-v0", SETTINGS, run_dir="odd", env_kwargs={"length": np.int64(3)})
    assert "JSON cannot represent: pass --env-kwargs" in refused(capsys, "evaluate", "odd")
    ppocore.Policy.load("run").save("alone.safetensors")
    assert "give the run directory, or pass --env" in refused(capsys, "evaluate", "alone.safetensors")


@pytest.mark.parametrize("name", ["RecordVideo", "json:dumps"])
def test_a_file_does_not_choose_what_is_imported_or_written(name, capsys):
    ppocore.train("Lengths-v0", SETTINGS, run_dir="run", env_kwargs={"length": 3})
    content = recorded()
    content["wrappers"] = [{"name": name, "kwargs": {}}]
    Path("run/config.json").write_text(json.dumps(content))
    for command in ("evaluate", "resume"):
        assert "pass the run's wrappers again, with --wrapper" in refused(capsys, command, "run")


def test_an_evaluation_of_endless_episodes_ends_and_says_so(capsys):
    result = evaluate(ppocore.train("Lengths-v0", SETTINGS).policy, "Lengths-v0", episodes=2)
    assert (result.episode_lengths, result.cut_off, result.limit) == ([10_000, 10_000], 2, 10_000)
    with pytest.warns(RunWarning, match="1 of 1 evaluated episodes cut off after 10000 steps"):
        ppocore.train("Lengths-v0", SETTINGS, run_dir="run", evaluate_episodes=1)
    assert main(["evaluate", "run", "--episodes", "1", "--max-episode-steps", "9"]) == 0
    assert capsys.readouterr().out.endswith("; cut off after 9 steps (--max-episode-steps): 1\n")


def test_an_environments_own_limit_stays():
    gym.register("Long-v0", Lengths, max_episode_steps=10_500)
    policy = ppocore.train("Lengths-v0", SETTINGS).policy
    result = evaluate(policy, "Long-v0", episodes=1)
    assert (result.episode_lengths, result.cut_off, result.limit) == ([10_500], 0, None)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a=1", "b=x", "c=true", "d=None"], {"a": 1, "b": "x", "c": True, "d": None}),
        (['a=[1,2],b={"c": 3}', "e=f=g"], {"a": [1, 2], "b": {"c": 3}, "e": "f=g"}),
        (['{"a": {"b": [1, 2]}}', "c="], {"a": {"b": [1, 2]}, "c": ""}),
    ],
)
def test_arguments(texts, expected):
    assert read_arguments(texts) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TimeLimit", ("TimeLimit", {})),
        ("TimeLimit:max_episode_steps=3", ("TimeLimit", {"max_episode_steps": 3})),
        ("a.b:C", ("a.b:C", {})),
        ("a.b:C:d=1,e=[2,3]", ("a.b:C", {"d": 1, "e": [2, 3]})),
        ('C:{"d": ":"}', ("C", {"d": ":"})),
    ],
)
def test_wrappers(text, expected):
    name, kwargs = expected
    assert read_wrappers([text]) == [{"name": name, "kwargs": kwargs}] == read_wrappers(read_wrappers([text]))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"wrappers": ["FrameStack"]}, "there is no wrapper 'FrameStack'"),
        ({"wrappers": ["FrameStackObservatio"]}, "did you mean FrameStackObservation?"),
        ({"wrappers": ["TimeLimit"]}, "the wrapper TimeLimit cannot be used (TypeError"),
        ({"wrappers": [gym.wrappers.TimeLimit]}, "is not a name"),
        ({"wrappers": ["TimeLimit:1=a"]}, "is not written KEY=VALUE"),
        ({"max_episode_steps": 0}, "max_episode_steps=0 must be an integer, at least 1"),
        ({"observation_keys": []}, "must be names of entries"),
        ({"observation_keys": ["nope"]}, "the wrapper FilterObservation cannot be used"),
        ({"wrappers": ["TimeLimit"], "runtime": {"vectorization": "vector"}}, "leave them out"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(arguments, sentence):
    with pytest.raises(UsageError) as refused:
        ppocore.train("CartPole-v1", SETTINGS, **arguments)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("given", "recorded", "same"),
    [
        ("CartPole-v1", "CartPole-v1", True),
        ("CartPole", "CartPole-v1", True),
        ("CartPole-v0", "CartPole-v1", False),
        ("Pendulum", "CartPole-v1", False),
        ("ALE/Pong", "ALE/Pong-v5", True),
    ],
)
def test_an_id_without_a_version_is_the_recorded_one(given, recorded, same):
    from ppocore.runs.environment import _same

    assert _same(given, recorded) is same
