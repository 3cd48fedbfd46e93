"""Learn from a rollout: estimate advantages, update in epochs, and adapt the settings that are adaptive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ppocore.advantages import AdvantageEstimate
from ppocore.advantages.estimators import estimate
from ppocore.backend import Backend, BackendActor, Objective, OptimizerStep, UpdateStats
from ppocore.config import PPOConfig
from ppocore.errors import NonFiniteError, UsageError
from ppocore.networks import ActingNetwork, NetworkSpec, compute_dtype
from ppocore.normalize import explained_variance
from ppocore.training.failed_update import FailedUpdate
from ppocore.training.rng import rng_state, set_rng_state
from ppocore.training.rollout import Rollout, check_rollout, divergence, evaluate, log_ratios, minibatches
from ppocore.training.schedules import AdaptivePenalty, AdaptiveRate, annealed
from ppocore.typing import Array


class Learned(NamedTuple):
    """Hold the settings and the results of one iteration."""

    objective: Objective
    step: OptimizerStep
    stats: list[UpdateStats]
    """Debug variables of every optimizer step."""
    divergence: float | None
    """Mean KL(policy before || policy after) over the rollout; None if no setting adapts to it."""
    explained_variance: float
    """Explained variance of the returns by the rollout's values; not finite if the returns are constant."""
    weights: dict[str, Array]
    """Weights of the backend, by name."""


class Learner:
    """Update the backend in each iteration, and track the settings that change between iterations.

    Args:
        backend: the backend to update.
        actor: acts with the backend's weights, which are loaded after every iteration and to re-evaluate a rollout.
        config: the settings.
        rng: draws the minibatches.
        spec: the network.

    Raises:
        UsageError: settings that treat actor and critic differently, for the user's own network.
    """

    def __init__(
        self,
        backend: Backend,
        actor: ActingNetwork | BackendActor,
        config: PPOConfig,
        rng: np.random.Generator,
        spec: NetworkSpec,
    ) -> None:
        if backend.own_network is not None:
            _check_own_network_settings(config)
        self._backend, self._actor = backend, actor
        self._config, self._rng, self._spec = config, rng, spec
        self._distribution = spec.distribution()
        self._learning_rate = annealed(config.learning_rate, config.anneal_learning_rate)
        critic_rate = config.learning_rate if config.critic_learning_rate is None else config.critic_learning_rate
        self._critic_learning_rate = annealed(critic_rate, config.anneal_learning_rate)
        self._clip_range = annealed(config.clip_range, config.anneal_clip_range)
        self._entropy_coef = annealed(config.entropy_coef, config.anneal_entropy_coef)
        self._penalty = AdaptivePenalty(config.kl_coef if "kl" in config.objective else 0.0, config.kl_penalty_target)
        self._rate = AdaptiveRate(config.adaptive_lr_kl)

    def objective(self, remaining: float, iteration: int) -> Objective:
        """Return the loss of an iteration, counted from 0, with the fraction ``remaining`` of the run left."""
        config = self._config
        return Objective(
            clip_range=self._clip_range(remaining),
            value_clip_range=config.value_clip_range,
            entropy_coef=self._entropy_coef(remaining) * config.entropy_decay**iteration,
            value_coef=config.value_coef,
            clip="clip" in config.objective,
            dual_clip=config.dual_clip,
            kl_coef=self._penalty.value,
            critic_l2_coef=config.critic_l2_coef,
        )

    def step(self, remaining: float) -> OptimizerStep:
        """Return the settings of an optimizer step, with the fraction ``remaining`` of the run left."""
        config, factor = self._config, self._rate.value
        has_critic_rate = config.critic_learning_rate is not None
        return OptimizerStep(
            self._learning_rate(remaining) * factor,
            config.max_grad_norm,
            self._critic_learning_rate(remaining) * factor if has_critic_rate else None,
            config.separate_optimizers,
        )

    def learn(self, rollout: Rollout, remaining: float, iteration: int) -> Learned:
        """Learn from a rollout, with the fraction ``remaining`` of the run left in an iteration counted from 0.

        Raises:
            RunError: the arrays of the rollout have inconsistent shapes.
            NonFiniteError: an update was not finite; it was not applied.
        """
        config = self._config
        check_rollout(rollout, config.num_steps, config.num_envs)
        objective, step = self.objective(remaining, iteration), self.step(remaining)
        stats, returns = self._update(rollout, objective, step)
        weights = self._backend.weights()
        self._actor.load(weights)
        moved = None
        if config.kl_penalty_target is not None or config.adaptive_lr_kl is not None:
            moved = divergence(rollout, self._actor, self._distribution)
            self._penalty.update(moved)
            self._rate.update(moved)
        explained = float(explained_variance(rollout.values, returns, rollout.valid))
        return Learned(objective, step, stats, moved, explained, weights)

    def state(self) -> dict[str, Any]:
        """Return the adapted settings and the RNG state of the minibatches."""
        return {"kl_coef": self._penalty.value, "rate": self._rate.value, "minibatches": rng_state(self._rng)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            KeyError, TypeError, ValueError: not such a state.
        """
        self._penalty.value, self._rate.value = float(state["kl_coef"]), float(state["rate"])
        set_rng_state(self._rng, state["minibatches"])

    def _update(self, rollout: Rollout, objective: Objective, step: OptimizerStep) -> tuple[list[UpdateStats], Array]:
        """Run the updates of all epochs; return their debug variables and the returns of the last epoch."""
        config = self._config
        all_stats: list[UpdateStats] = []
        estimates = self._estimate(rollout)

        def reestimate() -> AdvantageEstimate[Array]:
            nonlocal estimates
            estimates = self._reestimate(rollout)
            return estimates

        for batch in minibatches(
            rollout,
            estimates,
            config.minibatch_size,
            self._rng,
            epochs=config.update_epochs,
            normalize_advantages=config.normalize_advantages,
            advantage_scope=config.advantage_scope,
            with_parameters=objective.kl_coef > 0.0,
            reestimate=reestimate if config.recompute_advantages else None,
            dtype=compute_dtype(config.precision),
        ):
            try:
                stats = self._backend.update(batch, objective, step)
            except NonFiniteError as error:
                error.failed_update = FailedUpdate.of(self._backend, self._spec, config, batch, objective, step)
                raise
            all_stats.append(stats)
            if config.target_kl is not None and decisive(stats.approx_kl) > config.target_kl:
                if not config.separate_optimizers:
                    break
                step = OptimizerStep(
                    step.learning_rate, step.max_grad_norm, step.critic_learning_rate, separate=True, freeze_actor=True
                )
        return all_stats, estimates.returns

    def _estimate(self, rollout: Rollout, ratios: Array | None = None) -> AdvantageEstimate[Array]:
        config = self._config
        return estimate(
            rollout,
            ratios,
            gamma=config.gamma,
            lam=config.gae_lambda,
            estimator=config.advantage_estimator,
            value_target=config.value_target,
            n=config.n_step,
        )

    def _reestimate(self, rollout: Rollout) -> AdvantageEstimate[Array]:
        """Re-estimate the advantages with the current weights."""
        config, ratios = self._config, None
        self._actor.load(self._backend.weights())
        values, next_values = evaluate(rollout, self._actor)
        if "vtrace" in (config.advantage_estimator, config.value_target):
            ratios = log_ratios(rollout, self._actor, self._distribution)
        return self._estimate(rollout._replace(values=values, next_values=next_values), ratios)


def decisive(approx_kl: float) -> float:
    """Round a divergence so that backends whose last bits differ make the same decision.

    It is a difference of means near 1, so its error is absolute, about 1e-16. Float32, whose grid is 2**-40 at 2**-16,
    removes it from there on; a smaller one is rounded to a multiple of 2**-40.
    """
    return float(np.float32(approx_kl)) if approx_kl >= 2.0**-16 else round(approx_kl * 2.0**40) * 2.0**-40


def _check_own_network_settings(config: PPOConfig) -> None:
    """Refuse settings of single parts of the built-in network, which are not known for the user's own."""
    default = PPOConfig()
    for name in ("critic_learning_rate", "separate_optimizers", "critic_l2_coef", "learn_log_std"):
        if getattr(config, name) != getattr(default, name):
            raise UsageError(
                f"{name}={getattr(config, name)} applies to a part of the built-in network and cannot be used with a "
                "network of your own: leave it out"
            )
