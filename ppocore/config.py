"""Define the settings of a run, with their meanings and the sources of their defaults."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ppocore.advantages.estimators import ESTIMATORS
from ppocore.errors import UsageError
from ppocore.spaces import CONTINUOUS_POLICIES

PRECISIONS = ("exact", "float32")
ACTIVATIONS = ("tanh", "relu")
OBJECTIVES = ("clip", "kl", "clip+kl", "none")
ADVANTAGE_SCOPES = ("minibatch", "rollout")

_DETAILS = "37 details"  # "The 37 Implementation Details of PPO" (Huang et al., ICLR Blog Track 2022)
_PAPER = "arXiv:1707.06347"


def setting(default: Any, help: str, source: str) -> Any:
    """Create a dataclass field with its help text and the source of its default."""
    return field(default=default, metadata={"help": help, "source": source})


@dataclass(frozen=True)
class PPOConfig:
    """Configure a PPO run; immutable, and checked when created.

    ``config.replace(gamma=0.9)`` returns a changed copy. Each field's help text and the source of its default are in
    ``dataclasses.fields(PPOConfig)[i].metadata`` and in ``docs/settings.md``.

    Raises:
        UsageError: (a `ValueError`) a value outside its range, naming the field and the range.
        TypeError: a value of the wrong type.
    """

    total_steps: int = setting(
        500_000, "maximum number of environment steps; the run ends before a rollout would exceed it", _DETAILS
    )
    num_envs: int = setting(8, "environments stepped in parallel", _DETAILS + ", core 1")
    num_steps: int = setting(128, "steps of each environment in one rollout", _DETAILS + ", core 1")
    update_epochs: int = setting(4, "passes over each rollout", _DETAILS + ", core 6")
    minibatch_size: int = setting(256, "maximum number of samples in one optimizer step", _DETAILS + ", core 6")
    learning_rate: float = setting(2.5e-4, "Adam's step size", _DETAILS + ", core 3")
    anneal_learning_rate: bool = setting(
        True, "anneal the learning rate linearly to 0 over the run", _DETAILS + ", core 4"
    )
    critic_learning_rate: float | None = setting(
        None,
        "the critic's step size, annealed and adapted like the learning rate (none: the learning rate)",
        "Spinning Up",
    )
    separate_optimizers: bool = setting(
        False,
        "separate optimizers for actor and critic: gradients are clipped separately, and target_kl stops only the "
        "actor",
        "Spinning Up",
    )
    adaptive_lr_kl: float | None = setting(
        None,
        "adapt the learning rate: divide it by 1.5 after an iteration whose KL divergence is more than twice this "
        "target, multiply it by 1.5 after less than half (none: fixed)",
        "arXiv:1707.02286, RSL-RL",
    )
    adam_epsilon: float = setting(1e-5, "Adam's epsilon", _DETAILS + ", core 3")
    gamma: float = setting(0.99, "discount factor", _PAPER + ", table 3")
    gae_lambda: float = setting(0.95, "lambda of generalized advantage estimation and of V-trace", "arXiv:1506.02438")
    advantage_estimator: str = setting(
        "gae", "advantages: gae, monte_carlo (returns minus values), n_step, td or vtrace", "arXiv:1506.02438"
    )
    n_step: int = setting(5, "rewards summed by the n_step estimator", "arXiv:1602.01783")
    value_target: str = setting(
        "same", "estimator of the returns that the value is trained on (same: that of the advantages)", _DETAILS
    )
    recompute_advantages: bool = setting(
        False,
        "re-estimate advantages before each epoch, with the current values",
        "arXiv:2006.05990, section 3.5",
    )
    objective: str = setting(
        "clip",
        "surrogate: clip; kl (KL penalty); clip+kl (both); none (unclipped ratio)",
        _PAPER + ", sections 3 and 4",
    )
    clip_range: float = setting(0.2, "epsilon of the clipped surrogate, the clip range of the ratio", _PAPER)
    anneal_clip_range: bool = setting(False, "anneal the clip range linearly to 0 over the run", _PAPER + ", table 5")
    dual_clip: float | None = setting(
        None,
        "lower bound of the surrogate as a multiple, above 1, of a negative advantage (none: no bound)",
        "arXiv:1912.09729",
    )
    kl_coef: float = setting(
        1.0, "weight of the KL penalty; its initial value if kl_penalty_target is set", _PAPER + ", section 4"
    )
    kl_penalty_target: float | None = setting(
        None,
        "adapt kl_coef: halve it after an iteration whose KL divergence is less than 2/3 of this target, double it "
        "after more than 3/2 (none: fixed)",
        _PAPER + ", section 4",
    )
    value_clip_range: float | None = setting(
        None, "maximum change of the value from that of the rollout (none: no clipping)", _DETAILS + ", core 9"
    )
    entropy_coef: float = setting(0.01, "weight of the entropy bonus", _PAPER + ", table 5")
    anneal_entropy_coef: bool = setting(
        False, "anneal the entropy bonus linearly to 0 over the run", "arXiv:1602.01783"
    )
    entropy_decay: float = setting(
        1.0, "factor of the weight of the entropy bonus after every iteration", "XinJingHao PPO-Continuous"
    )
    value_coef: float = setting(
        0.5, "weight of the value loss, which is half the mean squared error", _DETAILS + ", core 10"
    )
    max_grad_norm: float | None = setting(
        0.5, "maximum global norm of the gradient (none: no clipping)", _DETAILS + ", core 11"
    )
    target_kl: float | None = setting(
        None, "stop an iteration's updates when approx_kl exceeds this (none: never)", "Spinning Up"
    )
    critic_l2_coef: float = setting(
        0.0, "weight of the critic's L2 regularization in the loss", "XinJingHao PPO-Continuous"
    )
    normalize_advantages: bool = setting(
        True, "normalize advantages to mean 0 and standard deviation 1", _DETAILS + ", core 7"
    )
    advantage_scope: str = setting(
        "minibatch", "where advantages are normalized: in each minibatch, or over the rollout", _DETAILS + ", core 7"
    )
    normalize_observations: bool = setting(
        False,
        "normalize observations to running mean 0 and variance 1, clipped to +-10",
        _DETAILS + ", continuous 5-6",
    )
    normalize_rewards: bool = setting(
        False,
        "divide rewards by the running standard deviation of discounted returns, clipped to +-10",
        _DETAILS + ", continuous 7-8",
    )
    hidden_sizes: tuple[int, ...] = setting((64, 64), "units of each hidden layer", _DETAILS)
    activation: str = setting("tanh", "activation of the hidden layers: tanh or relu", _DETAILS)
    shared_trunk: bool = setting(
        False, "share the hidden layers of actor and critic instead of separate networks", _DETAILS + ", core 13"
    )
    continuous_policy: str = setting(
        "gaussian",
        "policy for Box actions: gaussian (clipped to the bounds), squashed_gaussian (by tanh), or beta",
        _DETAILS + ", continuous 1; arXiv:1801.01290; Chou et al. 2017",
    )
    log_std_init: float = setting(
        0.0, "initial log standard deviation of a Gaussian policy", _DETAILS + ", continuous 2"
    )
    learn_log_std: bool = setting(
        True, "train the log standard deviation of a Gaussian policy", _DETAILS + ", continuous 2"
    )
    precision: str = setting(
        "exact",
        "exact: compute in float64 and store float32, bit-identical on every backend; float32: faster",
        "docs/exact-runs.md",
    )

    def __post_init__(self) -> None:
        """Check each field, then their combination."""
        check_types(self)
        for name in ("num_envs", "num_steps", "update_epochs", "minibatch_size", "total_steps", "n_step"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("gamma", "gae_lambda"):
            require(self, name, 0.0 <= getattr(self, name) <= 1.0, "between 0 and 1")
        # Beyond these, a float64 holds neither its quotients nor the grid of the gradient.
        require(self, "adam_epsilon", 1e-30 <= self.adam_epsilon <= 1e6, "between 1e-30 and 1e6")
        for name in ("learning_rate", "clip_range"):
            require(self, name, getattr(self, name) > 0.0, "greater than 0")
        optional = "value_clip_range max_grad_norm target_kl critic_learning_rate adaptive_lr_kl kl_penalty_target"
        for name in optional.split():
            value = getattr(self, name)
            require(self, name, value is None or value > 0.0, "greater than 0, or none")
        require(self, "dual_clip", self.dual_clip is None or self.dual_clip > 1.0, "greater than 1, or none")
        require(self, "entropy_decay", 0.0 < self.entropy_decay <= 1.0, "greater than 0 and at most 1")
        for name in ("entropy_coef", "value_coef", "kl_coef", "critic_l2_coef"):
            require(self, name, getattr(self, name) >= 0.0, "at least 0")
        require(self, "hidden_sizes", all(size >= 1 for size in self.hidden_sizes), "positive layer sizes")
        require(self, "log_std_init", abs(self.log_std_init) <= 20.0, "between -20 and 20")
        for name, choices in (
            ("precision", PRECISIONS),
            ("activation", ACTIVATIONS),
            ("continuous_policy", CONTINUOUS_POLICIES),
            ("objective", OBJECTIVES),
            ("advantage_scope", ADVANTAGE_SCOPES),
            ("advantage_estimator", tuple(ESTIMATORS)),
            ("value_target", ("same", *ESTIMATORS)),
        ):
            require(self, name, getattr(self, name) in choices, "one of " + ", ".join(choices))
        for holds, sentence in _contradictions(self):
            if holds:
                raise UsageError(sentence)
        if self.minibatch_size > self.rollout_size:
            raise UsageError(
                f"minibatch_size={self.minibatch_size} is larger than the rollout of num_envs={self.num_envs} x "
                f"num_steps={self.num_steps} = {self.rollout_size} steps: lower it or collect more steps"
            )
        if self.total_steps < self.rollout_size:
            raise UsageError(
                f"total_steps={self.total_steps} is less than one rollout of num_envs={self.num_envs} x "
                f"num_steps={self.num_steps} = {self.rollout_size} steps: raise it or collect fewer"
            )

    @property
    def rollout_size(self) -> int:
        """The number of steps in one rollout: ``num_envs * num_steps``."""
        return self.num_envs * self.num_steps

    @property
    def anneals(self) -> list[str]:
        """The names of the ``anneal_*`` settings that are on."""
        return [
            field.name
            for field in dataclasses.fields(self)
            if field.name.startswith("anneal_") and getattr(self, field.name)
        ]

    def replace(self, **changes: Any) -> PPOConfig:
        """Return a copy with some settings changed.

        Raises:
            UsageError: an unknown setting, or a value that does not pass the checks.
        """
        unknown = sorted(set(changes) - {f.name for f in dataclasses.fields(self)})
        if unknown:
            raise UsageError(f"PPOConfig has no setting {unknown[0]!r}: {where_else(unknown[0])}")
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a JSON object."""
        return {**dataclasses.asdict(self), "hidden_sizes": list(self.hidden_sizes)}

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> PPOConfig:
        """Invert `to_dict`; unknown names raise a `UsageError`."""
        return cls().replace(**settings)


def _contradictions(config: PPOConfig) -> list[tuple[bool, str]]:
    """Return combinations of settings that contradict each other: whether each occurs, and its error message."""
    has_penalty = "kl" in config.objective
    critic_settings = {
        "critic_learning_rate": config.critic_learning_rate is not None,
        "separate_optimizers": config.separate_optimizers,
        "critic_l2_coef": config.critic_l2_coef > 0.0,
    }
    return [
        (
            config.adaptive_lr_kl is not None and config.anneal_learning_rate,
            f"adaptive_lr_kl={config.adaptive_lr_kl} adapts the learning rate and anneal_learning_rate=True anneals "
            "it: set anneal_learning_rate=False, or adaptive_lr_kl=None",
        ),
        (
            config.kl_penalty_target is not None and not has_penalty,
            f"kl_penalty_target={config.kl_penalty_target} adapts a KL penalty but objective={config.objective} has "
            "none: set objective='kl' or objective='clip+kl', or kl_penalty_target=None",
        ),
        (
            has_penalty and config.kl_coef == 0.0,
            f"objective={config.objective} has a KL penalty and kl_coef=0.0 turns it off: raise kl_coef=, or set "
            "objective='clip' or objective='none'",
        ),
        (
            config.dual_clip is not None and "clip" not in config.objective,
            f"dual_clip={config.dual_clip} bounds a clipped surrogate but objective={config.objective} has none: set "
            "objective='clip' or objective='clip+kl', or dual_clip=None",
        ),
        (
            config.anneal_entropy_coef and config.entropy_decay < 1.0,
            f"anneal_entropy_coef=True and entropy_decay={config.entropy_decay} both reduce the entropy bonus: choose "
            "one of them",
        ),
        *(
            (
                config.shared_trunk and given,
                f"{name}={getattr(config, name)} needs a separate critic and shared_trunk=True shares its layers: set "
                f"shared_trunk=False, or leave {name}= out",
            )
            for name, given in critic_settings.items()
        ),
    ]


LARGEST = 2**53
"""The largest integer that a setting takes, up to which JSON's readers and float64 are exact."""


def where_else(name: str) -> str:
    """Say where to look for a setting that `PPOConfig` does not have."""
    if name in ("vectorization", "env_timeout", "threads"):
        return f"it does not decide the result, so it is a part of the runtime; pass runtime={{{name!r}: ...}}"
    return "see docs/settings.md for the names"


def require(config: Any, name: str, holds: bool, rule: str) -> None:
    """Raise a `UsageError` unless a setting obeys its ``rule``."""
    if not holds:
        raise UsageError(f"{name}={_shown(getattr(config, name))} is out of range: it must be {rule}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_types(config: Any) -> None:
    """Check the type of every field, and convert integers to floats and lists of sizes to tuples."""
    for spec in dataclasses.fields(config):
        value, kind = getattr(config, spec.name), str(spec.type)
        if value is None and "None" in kind:
            continue
        if kind.startswith("tuple"):
            one = _is_integer(value) or not isinstance(value, Iterable)
            sizes = (value,) if one else tuple(value)
            if not all(_is_integer(size) for size in sizes):
                raise TypeError(f"{spec.name}={_shown(value)} must be a sequence of integers")
            require(config, spec.name, all(abs(size) <= LARGEST for size in sizes), f"at most {LARGEST}")
            object.__setattr__(config, spec.name, tuple(int(size) for size in sizes))
        elif kind == "int":
            if not _is_integer(value):
                raise TypeError(f"{spec.name}={_shown(value)} must be an integer")
            require(config, spec.name, abs(value) <= LARGEST, f"at most {LARGEST}")
            object.__setattr__(config, spec.name, int(value))
        elif kind.startswith("float"):
            if not isinstance(value, numbers.Real) or isinstance(value, bool):
                raise TypeError(f"{spec.name}={_shown(value)} must be a number")
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if not math.isfinite(number):
                raise UsageError(f"{spec.name}={_shown(value)} must be finite")
            object.__setattr__(config, spec.name, number)
        elif kind == "bool" and not isinstance(value, bool):
            raise TypeError(f"{spec.name}={_shown(value)} must be True or False")
        elif kind == "str" and not isinstance(value, str):
            raise TypeError(f"{spec.name}={_shown(value)} must be a string")


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
