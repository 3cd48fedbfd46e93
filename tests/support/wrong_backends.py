"""Backends with one common mistake each, which the conformance suite must find."""

from dataclasses import replace

import numpy as np
from support.wrong_losses import (
    BetaEntropySign,
    BiasesPenalised,
    BitsMaskedTheOtherWay,
    DdofOne,
    DivergenceNotMasked,
    DivergenceReversed,
    DualClipOfGoodActions,
    EntropyNotMasked,
    EntropySign,
    Float32Arithmetic,
    GradientsAHairTooLong,
    LogProbHeld,
    LogStdTrained,
    MaskedAlmost,
    NoClamp,
    SlopeForgotten,
    ThroughTheClip,
    ValueLossNotHalved,
)

from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.errors import NonFiniteError
from ppocore.optimizers import ADAM_BETAS, OptimizerState, to_state


class EpsilonInsideTheRoot(NumpyBackend):
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
    """g * c / (norm + 1e-6), as torch.nn.utils.clip_grad_norm_ has it."""

    def _clip(self, step, grad_norm):
        if step.max_grad_norm is not None and grad_norm > step.max_grad_norm:
            step = replace(step, max_grad_norm=step.max_grad_norm * grad_norm / (grad_norm + 1e-6))
        super()._clip(step, grad_norm)


class PerTensorNorm(NumpyBackend):
    """Each gradient clipped by its own norm, as paddle.nn.ClipGradByNorm has it."""

    def _clip(self, step, grad_norm):
        if step.max_grad_norm is not None:
            for gradient in self._layout.named(self._gradient).values():
                gradient *= min(1.0, step.max_grad_norm / max(np.linalg.norm(gradient), 1e-300))


class WeightsTransposed(NumpyBackend):
    def state(self):
        return {name: array.T.copy() for name, array in super().state().items()}

    def load_state(self, state):
        super().load_state({name: array.T if "adam.step" in state else array for name, array in state.items()})


class Views(NumpyBackend):
    def state(self):
        weights, *slots = map(self._layout.named, self._stored)
        return to_state(self._optimizer, OptimizerState(weights, tuple(slots), self._steps, self._frozen_steps))


class NoStepCount(NumpyBackend):
    def state(self):
        return {name: array for name, array in super().state().items() if name != "adam.step"}


class StepCountStuck(NumpyBackend):
    def state(self):
        return {**super().state(), "adam.step": np.array(0, np.int64)}


class MomentsForgotten(NumpyBackend):
    def load_state(self, state):
        super().load_state({name: array for name, array in state.items() if not name.startswith("adam.")})


class AppliesWhatIsNotFinite(NumpyBackend):
    def update(self, batch, objective, step):
        try:
            return super().update(batch, objective, step)
        except NonFiniteError:
            with np.errstate(all="ignore"):
                self._steps += 1
                self._adam(step)
                np.copyto(self._stored, self._exact, casting="same_kind")
            raise


class OffTheGrid(NumpyBackend):
    """Leaves out exact mode's rounding of the gradient."""

    def update(self, batch, objective, step):
        self._grid = 0.0
        return super().update(batch, objective, step)


class Float32LearningRate(NumpyBackend):
    def _adam(self, how):
        super()._adam(replace(how, learning_rate=float(np.float32(how.learning_rate))))


class AnyDevice(NumpyBackend):
    def __init__(self, spec, *, device="cpu", **settings):
        super().__init__(spec, device="cpu", **settings)


class DrawsGlobally(NumpyBackend):
    def _adam(self, how):
        np.random.random()  # noqa: NPY002 - the mistake
        super()._adam(how)


class WritesToTheMinibatch(NumpyBackend):
    def update(self, batch, objective, step):
        stats = super().update(batch, objective, step)
        batch.advantages[...] = 0.0
        return stats


class CriticRateIgnored(NumpyBackend):
    def _adam(self, how):
        super()._adam(replace(how, critic_learning_rate=None))


class OneNormForBoth(NumpyBackend):
    def _clip(self, step, grad_norm):
        super()._clip(replace(step, separate=False), grad_norm)


class FrozenMomentsDecay(NumpyBackend):
    """Sets the actor's gradient to zero and takes the step instead of freezing the actor."""

    def update(self, batch, objective, step):
        stats = super().update(batch, objective, step)
        if step.freeze_actor:
            self._stored[1:, ~self._critic] *= np.float32(ADAM_BETAS[0])
            np.copyto(self._exact, self._stored)
        return stats


class FrozenStepsCounted(NumpyBackend):
    """Corrects the actor's bias with the step count of the critic."""

    def _adam(self, how):
        frozen, self._frozen_steps = self._frozen_steps, 0
        super()._adam(how)
        self._frozen_steps = frozen


class FrozenStepsForgotten(NumpyBackend):
    def load_state(self, state):
        super().load_state({name: array for name, array in state.items() if name != "adam.held"})


class FrozenStepsNotKept(NumpyBackend):
    def state(self):
        return {name: array for name, array in super().state().items() if name != "adam.held"}


MISTAKES = {
    AnyDevice: "wrong_device",
    WeightsTransposed: "state_layout",
    NoStepCount: "state_layout",
    StepCountStuck: "state_layout",
    FrozenStepsNotKept: "state_layout",
    Float32Arithmetic: "forward",
    LogProbHeld: "log_prob",
    SlopeForgotten: "log_prob",
    BitsMaskedTheOtherWay: "log_prob",
    EntropyNotMasked: "entropy",
    BetaEntropySign: "entropy",
    NoClamp: "ratio",
    DivergenceNotMasked: "kl",
    DivergenceReversed: "kl",
    DdofOne: "policy_loss",
    DualClipOfGoodActions: "policy_loss",
    ValueLossNotHalved: "value_loss",
    EntropySign: "total_loss",
    BiasesPenalised: "total_loss",
    ThroughTheClip: "gradients",
    GradientsAHairTooLong: "gradients",
    LogStdTrained: "gradients",
    MaskedAlmost: "masked_actions",
    NormWithMargin: "clipped_gradient",
    PerTensorNorm: "clipped_gradient",
    Float32LearningRate: "learning_rate",
    EpsilonInsideTheRoot: "adam_step",
    CriticRateIgnored: "critic_learning_rate",
    OneNormForBoth: "separate_norms",
    FrozenMomentsDecay: "held_actor",
    FrozenStepsCounted: "held_actor",
    OffTheGrid: "clipped_gradient",
    Views: "copies",
    WritesToTheMinibatch: "inputs_untouched",
    MomentsNotRounded: "bit_equality",
    MomentsForgotten: "resume",
    FrozenStepsForgotten: "resume",
    AppliesWhatIsNotFinite: "non_finite",
    DrawsGlobally: "process_left_as_found",
}
"""Each backend, and the most elementary property that it must fail."""
