"""Presets, and settings laid over them: one meaning for the command line and the library."""

import json
import re

import pytest

import ppocore
from ppocore import PPOConfig
from ppocore.cli import main
from ppocore.errors import UsageError
from ppocore.presets import PRESETS, choose_settings, preset

QUICK = {"total_steps": 512, "num_envs": 4, "num_steps": 32, "minibatch_size": 64, "update_epochs": 1}
OPTIONS = [word for name, value in QUICK.items() for word in (f"--{name.replace('_', '-')}", str(value))]


class Begun:
    """A reporter that keeps what a run begins with."""

    def begin(self, start):
        self.start = start

    def iteration(self, metrics): ...
    def close(self): ...
    def end(self, result): ...


def config_of(run):
    return json.loads((run / "config.json").read_text())["config"]


@pytest.mark.parametrize("env", ["CartPole", "CartPole-v1", "gymnasium:CartPole"])
def test_an_id_without_a_version_has_the_preset_of_the_version_that_runs(env):
    assert preset(env) == PPOConfig(**PRESETS["CartPole-v1"]) != PPOConfig()


def test_another_version_has_no_preset_and_the_sentence_names_the_one_that_has():
    chosen = choose_settings("CartPole-v0")
    assert chosen.config == PPOConfig()
    assert chosen.preset == "no preset for CartPole-v0 (there is one for CartPole-v1): the settings are the defaults"


@pytest.mark.parametrize("given", [({"gamma": 0.9}, {}), (None, {"gamma": 0.9})])
def test_settings_are_laid_over_the_preset(given):
    config, settings = given
    chosen = choose_settings("Pendulum-v1", config, settings)
    assert chosen.config == PPOConfig(**{**PRESETS["Pendulum-v1"], "gamma": 0.9})
    assert chosen.preset.startswith("preset for Pendulum-v1: total_steps=100000, ")
    assert "gamma" not in chosen.preset
    assert chosen.given == {"gamma": 0.9}


def test_a_whole_configuration_stays_what_it_is_and_is_announced():
    chosen = choose_settings("Pendulum-v1", PPOConfig(gamma=0.9), {"n_step": 3})
    assert chosen.config == PPOConfig(gamma=0.9, n_step=3)
    assert (
        chosen.preset
        == "the preset for Pendulum-v1 is not used: the settings are those of the PPOConfig that was given"
    )


def test_without_a_preset():
    assert choose_settings("Pendulum-v1", {"gamma": 0.9}, use_preset=False).config == PPOConfig(gamma=0.9)
    assert choose_settings("Taxi-v3").preset == "no preset for Taxi-v3: the settings are the defaults"
    assert choose_settings(Begun).preset == "no preset for Begun: the settings are the defaults"


def test_the_command_line_and_the_library_train_the_same_run(tmp_path, capsys):
    assert main(["train", "CartPole", *OPTIONS, "--quiet", "--run-dir", str(tmp_path / "cli")]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    reporter = Begun()
    result = ppocore.train("CartPole", **QUICK, run_dir=tmp_path / "library", reporters=[reporter])
    assert line == f"fingerprint {result.fingerprint}"
    assert config_of(tmp_path / "cli") == config_of(tmp_path / "library")
    assert config_of(tmp_path / "cli")["gamma"] == PRESETS["CartPole-v1"]["gamma"] == 0.98
    assert reporter.start.given == QUICK
    assert reporter.start.preset.startswith("preset for CartPole-v1: ")


def test_no_preset_on_the_command_line(tmp_path, capsys):
    assert main(["train", "CartPole", *OPTIONS, "--no-preset", "--run-dir", str(tmp_path / "run")]) == 0
    assert config_of(tmp_path / "run")["gamma"] == PPOConfig().gamma == 0.99
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "the preset for CartPole-v1 is not used: the settings are the defaults"


def test_the_settings_shown_are_a_command_line_that_gives_them(tmp_path, capsys):
    given = ["--no-anneal-learning-rate", "--normalize-observations", "--target-kl", "none", "--hidden-sizes", "5", "6"]
    assert main(["train", "CartPole-v1", *OPTIONS, *given, "--run-dir", str(tmp_path / "one")]) == 0
    (shown,) = re.findall("^given: (.*)$", capsys.readouterr().err, re.MULTILINE)
    assert main(["train", "CartPole-v1", *shown.split(), "--quiet", "--run-dir", str(tmp_path / "two")]) == 0
    assert config_of(tmp_path / "one") == config_of(tmp_path / "two")


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        (("MlpPolicy", "CartPole-v1"), {}, "config is 'CartPole-v1', which holds no settings: give a PPOConfig, or"),
        (("CartPole-v1", {"gama": 0.9}), {}, "PPOConfig has no setting 'gama'; did you mean gamma?"),
        (
            ("CartPole-v1",),
            {"lr": 0.9},
            "train has no argument and PPOConfig no setting 'lr'; did you mean learning_rate",
        ),
        (("CartPole-v1",), {"callback": 1}, "no setting 'callback'; did you mean callbacks?"),
        (("CartPole-v1",), {"video": 1}, "no setting 'video'; see docs/settings.md"),
        (("CartPole-v1",), {"reporters": print}, "must be a list of reporters; a function belongs in callbacks="),
        (("CartPole-v1",), {"backend": Begun}, "backend Begun cannot be made"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(arguments, settings, sentence):
    with pytest.raises(UsageError) as refused:
        ppocore.train(*arguments, **settings)
    assert sentence in str(refused.value)
