"""Learning from one rollout: estimate advantages, update in epochs, adapt what adapts."""

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
    """One iteration's learning: with what settings, and what came of it."""

    objective: Objective
    step: OptimizerStep
    stats: list[UpdateStats]
    """The debug variables of every optimizer step that was made."""
    divergence: float | None
    """Mean KL(policy before || policy after) over the rollout; None where nothing adapts to it."""
    explained_variance: float
    """Of the returns by the rollout's values; not finite where the returns do not vary."""
    weights: dict[str, Array]
    """The backend's, by name."""


class Learner:
    """The backend's side of an iteration, and the settings that change from one to the next.

    Args:
        backend: what learns.
        actor: acts with the backend's weights; it is given them after every iteration, and to re-evaluate a rollout.
        config: the settings.
        rng: draws the minibatches.
        spec: of the network.

    Raises:
        UsageError: settings that tell actor and critic apart, with a network of the user's own.
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
            _refuse_parts(config)
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
        """The loss of an iteration, counted from 0, with ``remaining`` of the run left."""
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
        """How the optimizer steps, with ``remaining`` of the run left."""
        config, factor = self._config, self._rate.value
        apart = config.critic_learning_rate is not None
        return OptimizerStep(
            self._learning_rate(remaining) * factor,
            config.max_grad_norm,
            self._critic_learning_rate(remaining) * factor if apart else None,
            config.separate_optimizers,
        )

    def learn(self, rollout: Rollout, remaining: float, iteration: int) -> Learned:
        """Learn from a rollout, with ``remaining`` of the run left in an iteration counted from 0.

        Raises:
            RunError: the arrays of the rollout do not fit together.
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
        """Return what has been adapted to the divergences so far, and the RNG state of the minibatches."""
        return {"kl_coef": self._penalty.value, "rate": self._rate.value, "minibatches": rng_state(self._rng)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        self._penalty.value, self._rate.value = float(state["kl_coef"]), float(state["rate"])
        set_rng_state(self._rng, state["minibatches"])

    def _update(self, rollout: Rollout, objective: Objective, step: OptimizerStep) -> tuple[list[UpdateStats], Array]:
        """Make the updates of every epoch; their debug variables, and the returns that were learned from last."""
        config = self._config
        made: list[UpdateStats] = []
        estimates = self._estimate(rollout)

        def reestimate() -> AdvantageEstimate:
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
            made.append(stats)
            # Rounded, so that backends that differ in the last bits decide alike.
            if config.target_kl is not None and float(np.float32(stats.approx_kl)) > config.target_kl:
                if not config.separate_optimizers:
                    break
                step = OptimizerStep(
                    step.learning_rate, step.max_grad_norm, step.critic_learning_rate, separate=True, hold_actor=True
                )
        return made, estimates.returns

    def _estimate(self, rollout: Rollout, ratios: Array | None = None) -> AdvantageEstimate:
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

    def _reestimate(self, rollout: Rollout) -> AdvantageEstimate:
        """Estimate again, with the network as it is now."""
        config, ratios = self._config, None
        self._actor.load(self._backend.weights())
        values, next_values = evaluate(rollout, self._actor)
        if "vtrace" in (config.advantage_estimator, config.value_target):
            ratios = log_ratios(rollout, self._actor, self._distribution)
        return self._estimate(rollout._replace(values=values, next_values=next_values), ratios)


def _refuse_parts(config: PPOConfig) -> None:
    """A network of the user's own is one whole: which of its weights are the critic's is not known."""
    default = PPOConfig()
    for name in ("critic_learning_rate", "separate_optimizers", "critic_l2_coef", "learn_log_std"):
        if getattr(config, name) != getattr(default, name):
            raise UsageError(
                f"{name}={getattr(config, name)} tells the parts of the built-in network apart and cannot be used with "
                "a network of your own: leave it out"
            )
