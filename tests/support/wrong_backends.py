"""Backends with one realistic mistake each, which `check_backend` must find."""

from dataclasses import replace

import numpy as np
from support.wrong_losses import (
    BetaEntropySign,
    BiasesPenalized,
    BitMasksSwapped,
    DdofOne,
    DivergenceNotMasked,
    DivergenceReversed,
    DualClipOfPositiveAdvantages,
    EntropyNotMasked,
    EntropySign,
    FixedLogStdTrained,
    Float32Arithmetic,
    GradientNotClipped,
    GradientsSlightlyTooLong,
    LogProbClamped,
    MaskedLogitsTooHigh,
    NoClamp,
    SquashingIgnored,
    ValueLossNotHalved,
)

from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.errors import NonFiniteError
from ppocore.optimizers import ADAM_BETAS, OptimizerState, to_state


class EpsilonInsideSquareRoot(NumpyBackend):
    def _adam(self, how):
        (weights, m, v), g, (beta1, beta2) = self._exact, self._gradient, ADAM_BETAS
        m[...] = beta1 * m + (1.0 - beta1) * g
        v[...] = beta2 * v + (1.0 - beta2) * g * g
        root = np.sqrt(v / (1.0 - beta2**self._steps) + self._optimizer.epsilon)
        weights -= how.learning_rate / (1.0 - beta1**self._steps) * m / root


class MomentsNotRounded(NumpyBackend):
    def _adam(self, how):
        super()._adam(how)
        self._float64 = self._exact[1:].copy()

    def update(self, batch, objective, step):
        stats = super().update(batch, objective, step)
        if not step.freeze_actor:
            self._exact[1:] = self._float64
        return stats


class NormWithMargin(NumpyBackend):
    """Clips by ``limit / (norm + 1e-6)``, as ``torch.nn.utils.clip_grad_norm_`` does."""

    def _clip(self, step, grad_norm):
        if step.max_grad_norm is not None and grad_norm > step.max_grad_norm:
            step = replace(step, max_grad_norm=step.max_grad_norm * grad_norm / (grad_norm + 1e-6))
        super()._clip(step, grad_norm)


class PerTensorNorm(NumpyBackend):
    """Clips each gradient by its own norm, as ``paddle.nn.ClipGradByNorm`` does."""

    def _clip(self, step, grad_norm):
        if step.max_grad_norm is not None:
            for gradient in self._layout.named(self._gradient).values():
                gradient *= min(1.0, step.max_grad_norm / max(np.linalg.norm(gradient), 1e-300))


class TransposedWeights(NumpyBackend):
    def state(self):
        return {name: array.T.copy() for name, array in super().state().items()}

    def load_state(self, state):
        super().load_state({name: array.T if "adam.step" in state else array for name, array in state.items()})


class StateReturnsViews(NumpyBackend):
    def state(self):
        weights, *slots = map(self._layout.named, self._stored)
        return to_state(self._optimizer, OptimizerState(weights, tuple(slots), self._steps, self._frozen_steps))


class NoStepCount(NumpyBackend):
    def state(self):
        return {name: array for name, array in super().state().items() if name != "adam.step"}


class StepCountAlwaysZero(NumpyBackend):
    def state(self):
        return {**super().state(), "adam.step": np.array(0, np.int64)}


class MomentsNotLoaded(NumpyBackend):
    def load_state(self, state):
        super().load_state({name: array for name, array in state.items() if not name.startswith("adam.")})


class AppliesNonFiniteUpdates(NumpyBackend):
    def update(self, batch, objective, step):
        try:
            return super().update(batch, objective, step)
        except NonFiniteError:
            with np.errstate(all="ignore"):
                self._steps += 1
                self._adam(step)
                np.copyto(self._stored, self._exact, casting="same_kind")
            raise


class GradientNotOnGrid(NumpyBackend):
    """Does not round the gradient in exact mode."""

    def update(self, batch, objective, step):
        self._grid = 0.0
        return super().update(batch, objective, step)


class Float32LearningRate(NumpyBackend):
    def _adam(self, how):
        super()._adam(replace(how, learning_rate=float(np.float32(how.learning_rate))))


class AcceptsAnyDevice(NumpyBackend):
    def __init__(self, spec, *, device="cpu", **settings):
        super().__init__(spec, device="cpu", **settings)


class UsesGlobalRandomState(NumpyBackend):
    def _adam(self, how):
        np.random.random()  # noqa: NPY002 - the mistake
        super()._adam(how)


class WritesToMinibatch(NumpyBackend):
    def update(self, batch, objective, step):
        stats = super().update(batch, objective, step)
        batch.advantages[...] = 0.0
        return stats


class CriticLearningRateIgnored(NumpyBackend):
    def _adam(self, how):
        super()._adam(replace(how, critic_learning_rate=None))


class SharedNorm(NumpyBackend):
    def _clip(self, step, grad_norm):
        super()._clip(replace(step, separate=False), grad_norm)


class HeldMomentsDecay(NumpyBackend):
    """Decays the held actor's moments, as a step with a zero gradient would."""

    def update(self, batch, objective, step):
        stats = super().update(batch, objective, step)
        if step.freeze_actor:
            self._stored[1:, ~self._critic] *= np.float32(ADAM_BETAS[0])
            np.copyto(self._exact, self._stored)
        return stats


class HeldStepsCounted(NumpyBackend):
    """Counts held steps in the actor's bias correction."""

    def _adam(self, how):
        frozen, self._frozen_steps = self._frozen_steps, 0
        super()._adam(how)
        self._frozen_steps = frozen


class HeldStepsNotLoaded(NumpyBackend):
    def load_state(self, state):
        super().load_state({name: array for name, array in state.items() if name != "adam.held"})


class HeldStepsNotSaved(NumpyBackend):
    def state(self):
        return {name: array for name, array in super().state().items() if name != "adam.held"}


MISTAKES = {
    AcceptsAnyDevice: "wrong_device",
    TransposedWeights: "state_layout",
    NoStepCount: "state_layout",
    StepCountAlwaysZero: "state_layout",
    HeldStepsNotSaved: "state_layout",
    Float32Arithmetic: "forward",
    LogProbClamped: "log_prob",
    SquashingIgnored: "log_prob",
    BitMasksSwapped: "log_prob",
    EntropyNotMasked: "entropy",
    BetaEntropySign: "entropy",
    NoClamp: "ratio",
    DivergenceNotMasked: "kl",
    DivergenceReversed: "kl",
    DdofOne: "policy_loss",
    DualClipOfPositiveAdvantages: "policy_loss",
    ValueLossNotHalved: "value_loss",
    EntropySign: "total_loss",
    BiasesPenalized: "total_loss",
    GradientNotClipped: "gradients",
    GradientsSlightlyTooLong: "gradients",
    FixedLogStdTrained: "gradients",
    MaskedLogitsTooHigh: "masked_actions",
    NormWithMargin: "clipped_gradient",
    PerTensorNorm: "clipped_gradient",
    Float32LearningRate: "learning_rate",
    EpsilonInsideSquareRoot: "adam_step",
    CriticLearningRateIgnored: "critic_learning_rate",
    SharedNorm: "separate_norms",
    HeldMomentsDecay: "held_actor",
    HeldStepsCounted: "held_actor",
    GradientNotOnGrid: "clipped_gradient",
    StateReturnsViews: "copies",
    WritesToMinibatch: "inputs_untouched",
    MomentsNotRounded: "bit_equality",
    MomentsNotLoaded: "resume",
    HeldStepsNotLoaded: "resume",
    AppliesNonFiniteUpdates: "non_finite",
    UsesGlobalRandomState: "process_left_as_found",
}
"""Each backend and the first property that it must fail."""
