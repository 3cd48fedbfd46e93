"""Define tuned settings for known environments.

They started from the tuned hyperparameters of RL Baselines3 Zoo; docs/results.md has the changes and the return that
each preset reaches. The value loss there is not halved, so a ``vf_coef`` of 0.5 there is 1.0 here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, NamedTuple

from ppocore.config import PPOConfig, where_else
from ppocore.errors import UsageError

PRESETS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "total_steps": 100_000,
        "num_envs": 8,
        "num_steps": 32,
        "minibatch_size": 256,
        "update_epochs": 10,
        "gamma": 0.98,
        "gae_lambda": 0.8,
        "learning_rate": 1e-3,
        "anneal_learning_rate": True,
        "anneal_clip_range": True,
        "entropy_coef": 0.0,
        "value_coef": 1.0,
    },
    "Acrobot-v1": {
        "total_steps": 500_000,
        "num_envs": 16,
        "num_steps": 256,
        "minibatch_size": 256,
        "update_epochs": 4,
        "gamma": 0.99,
        "gae_lambda": 0.94,
        "learning_rate": 1e-3,
        "anneal_learning_rate": True,
        "entropy_coef": 0.0,
        "value_coef": 1.0,
        "normalize_observations": True,
        "normalize_rewards": True,
    },
    "MountainCar-v0": {
        "total_steps": 1_000_000,
        "num_envs": 16,
        "num_steps": 64,
        "minibatch_size": 256,
        "update_epochs": 10,
        "gamma": 0.99,
        "gae_lambda": 0.98,
        "learning_rate": 1e-3,
        "anneal_learning_rate": True,
        "entropy_coef": 0.0,
        "value_coef": 1.0,
        "normalize_observations": True,
        "normalize_rewards": True,
    },
    "MountainCarContinuous-v0": {
        "total_steps": 100_000,
        "num_envs": 8,
        "num_steps": 256,
        "minibatch_size": 256,
        "update_epochs": 10,
        "gamma": 0.9999,
        "gae_lambda": 0.9,
        "learning_rate": 3e-4,
        "anneal_learning_rate": False,
        "clip_range": 0.2,
        "entropy_coef": 0.00429,
        "value_coef": 0.38,
        "max_grad_norm": 5.0,
        "normalize_observations": True,
        "normalize_rewards": True,
    },
    "Pendulum-v1": {
        "total_steps": 100_000,
        "num_envs": 4,
        "num_steps": 512,
        "minibatch_size": 256,
        "update_epochs": 10,
        "gamma": 0.95,
        "gae_lambda": 0.95,
        "learning_rate": 2e-3,
        "anneal_learning_rate": True,
        "entropy_coef": 0.0,
        "value_coef": 1.0,
        "normalize_rewards": True,
    },
    "LunarLander-v3": {
        "total_steps": 1_000_000,
        "num_envs": 16,
        "num_steps": 256,
        "minibatch_size": 256,
        "update_epochs": 4,
        "gamma": 0.999,
        "gae_lambda": 0.98,
        "learning_rate": 1e-3,
        "anneal_learning_rate": True,
        "entropy_coef": 0.01,
        "value_coef": 1.0,
        "normalize_rewards": True,
    },
}


class Choice(NamedTuple):
    """Hold the settings of a run, and where they come from."""

    config: PPOConfig
    preset: str
    """Which preset applies, or that none does."""
    given: dict[str, Any]
    """The settings that were given one by one."""


def preset(env: Any) -> PPOConfig:
    """Return the settings for an environment: its preset if it has one, else the defaults of `PPOConfig`.

    ``preset(env).replace(gamma=0.9)`` lays settings over the preset, as ``train(env, gamma=0.9)`` does.

    Args:
        env: an environment's id, possibly as ``module:id`` or without a version; anything else has no preset.
    """
    return PPOConfig(**preset_changes(env))


def preset_changes(env: Any) -> dict[str, Any]:
    """Return the settings of an environment's preset that differ from the defaults; empty without a preset."""
    return dict(PRESETS.get(_full_name(env), {}))


def choose_settings(
    env: Any,
    config: PPOConfig | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    use_preset: bool = True,
    arguments: Collection[str] = (),
) -> Choice:
    """Lay the settings that are given over a whole configuration, or else over the environment's preset.

    Args:
        env: the environment, as in `preset`.
        config: a whole configuration, in place of the preset, or settings to lay over the preset.
        settings: further settings to lay over.
        use_preset: whether the preset applies at all.
        arguments: what else the caller's function takes, for the message on an unknown name in ``settings``.

    Raises:
        UsageError: an unknown setting, a value that does not pass the checks, or a ``config`` of another type.
        TypeError: a value of the wrong type.
    """
    if not isinstance(config, PPOConfig | Mapping | None):
        raise UsageError(
            f"config is {_short(config)}, which holds no settings: give a PPOConfig, or a dict of settings such as "
            "{'gamma': 0.9}; train takes the environment first, and hidden_sizes describes the network"
        )
    whole = config if isinstance(config, PPOConfig) else None
    given: dict[str, Any] = {**({} if isinstance(config, PPOConfig) else config or {}), **(settings or {})}
    _check_names(settings or {}, arguments)
    _check_names(given)
    name, shown = _full_name(env), env if isinstance(env, str) else _short(env)
    changes = PRESETS.get(name, {})
    if whole is not None:
        unused = f"the preset for {name} is not used" if changes else f"no preset for {shown}"
        return Choice(
            whole.replace(**given), f"{unused}: the settings are those of the PPOConfig that was given", given
        )
    if changes and not use_preset:
        return Choice(PPOConfig(**given), f"the preset for {name} is not used: the settings are the defaults", given)
    if not changes:
        from ppocore.envs.lookup import unversioned

        others = [known for known in PRESETS if unversioned(known) == unversioned(name)]
        hint = f" (there is one for {' and '.join(others)})" if others else ""
        return Choice(PPOConfig(**given), f"no preset for {shown}{hint}: the settings are the defaults", given)
    listed = ", ".join(f"{key}={value}" for key, value in changes.items() if key not in given)
    return Choice(PPOConfig(**{**changes, **given}), f"preset for {name}: {listed or 'all settings overridden'}", given)


def _check_names(given: Mapping[str, Any], arguments: Collection[str] = ()) -> None:
    known = [field.name for field in fields(PPOConfig)]
    for name in given:
        if name not in known:
            close = get_close_matches(str(name), [*known, *arguments], n=1, cutoff=0.75)
            meant = SETTINGS_ELSEWHERE.get(str(name)) or (close[0] if close else None)
            hint = f"did you mean {meant}?" if meant else where_else(str(name))
            what = "train has no argument and PPOConfig no setting" if arguments else "PPOConfig has no setting"
            raise UsageError(f"{what} {name!r}; {hint}")


SETTINGS_ELSEWHERE = {
    "lr": "learning_rate",
    "alpha": "learning_rate",
    "timesteps": "total_steps",
    "total_timesteps": "total_steps",
    "max_steps": "total_steps",
    "n_envs": "num_envs",
    "n_steps": "num_steps",
    "rollout_length": "num_steps",
    "rollout_steps": "num_steps",
    "horizon": "num_steps",
    "n_epochs": "update_epochs",
    "epochs": "update_epochs",
    "num_epochs": "update_epochs",
    "num_minibatches": "minibatch_size",
    "batch_size": "minibatch_size",
    "sgd_minibatch_size": "minibatch_size",
    "lam": "gae_lambda",
    "lambda": "gae_lambda",
    "lambda_": "gae_lambda",
    "discount": "gamma",
    "clip": "clip_range",
    "clip_coef": "clip_range",
    "clip_param": "clip_range",
    "clip_ratio": "clip_range",
    "clip_eps": "clip_range",
    "eps_clip": "clip_range",
    "clip_range_vf": "value_clip_range",
    "clip_vloss": "value_clip_range",
    "ent_coef": "entropy_coef",
    "entropy_coeff": "entropy_coef",
    "entropy_cost": "entropy_coef",
    "vf_coef": "value_coef",
    "vf_loss_coeff": "value_coef",
    "value_loss_coef": "value_coef",
    "anneal_lr": "anneal_learning_rate",
    "norm_adv": "normalize_advantages",
    "normalize_advantage": "normalize_advantages",
    "normalize": "normalize_observations",
    "norm_obs": "normalize_observations",
    "norm_reward": "normalize_rewards",
    "hidden_size": "hidden_sizes",
    "hidden": "hidden_sizes",
    "net_arch": "hidden_sizes",
    "layers": "hidden_sizes",
    "activation_fn": "activation",
    "max_grad": "max_grad_norm",
    "eps": "adam_epsilon",
    "kl_target": "kl_penalty_target",
    "desired_kl": "adaptive_lr_kl",
}
"""Names that other libraries, or earlier versions, have for a setting."""


def _full_name(env: Any) -> str:
    """Return an environment's id without its module, and with the version that Gymnasium takes if it has none."""
    name = env.rpartition(":")[2] if isinstance(env, str) else ""
    if not any(known.startswith(f"{name}-v") for known in PRESETS):
        return name
    from ppocore.envs.lookup import versions_of  # only here, so that settings need no environment library

    versions = versions_of(name)
    return versions[-1].id if versions else name


def _short(value: Any) -> str:
    try:
        shown = str(getattr(value, "__name__", None) or repr(value))
    except Exception:  # of another library, such as EnvPool
        shown = type(value).__name__
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
