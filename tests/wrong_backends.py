"""Backends with one mistake each, of the kind that is made: what the conformance suite must find."""

from dataclasses import replace
from math import sqrt

import numpy as np

from ppocore.backend import ADAM_BETAS
from ppocore.backends.numpy_backend import NumpyBackend, _Loss
from ppocore.errors import NonFiniteError
from ppocore.state import AdamState, to_state


def adam(backend, learning_rate, *, inside=False, keep_float64=False):
    """Adam's step on a NumpyBackend, with the mistakes asked for."""
    weights, m, v = backend._exact
    g, (beta1, beta2) = backend._gradient, ADAM_BETAS
    backend._steps += 1
    m[...] = beta1 * m + (1.0 - beta1) * g
    v[...] = beta2 * v + (1.0 - beta2) * g * g
    root = v / (1.0 - beta2**backend._steps)
    root = np.sqrt(root + backend._adam_epsilon) if inside else np.sqrt(root) + backend._adam_epsilon
    weights -= learning_rate / (1.0 - beta1**backend._steps) * m / root
    if backend._exact is not backend._stored:
        np.copyto(backend._stored, backend._exact, casting="same_kind")
        if keep_float64:
            backend._exact[0] = backend._stored[0]
        else:
            np.copyto(backend._exact, backend._stored)


class OtherInputs(NumpyBackend):
    """Computes with another minibatch or objective than it is given."""

    def change(self, batch, objective):
        return batch, objective

    def evaluate(self, batch, objective):
        return super().evaluate(*self.change(batch, objective))

    def gradients(self, batch, objective):
        return super().gradients(*self.change(batch, objective))

    def update(self, batch, objective, **settings):
        return super().update(*self.change(batch, objective), **settings)


class EpsilonInsideTheRoot(NumpyBackend):
    def _adam(self, learning_rate):
        adam(self, learning_rate, inside=True)


class MomentsNotRounded(NumpyBackend):
    def _adam(self, learning_rate):
        adam(self, learning_rate, keep_float64=True)


class NormWithMargin(NumpyBackend):
    """g * c / (norm + 1e-6), as torch.nn.utils.clip_grad_norm_ has it."""

    def update(self, batch, objective, *, learning_rate, max_grad_norm):
        norm = sqrt(sum(float((g * g).sum()) for g in self.gradients(batch, objective).values()))
        if max_grad_norm is not None and norm > max_grad_norm:
            max_grad_norm *= norm / (norm + 1e-6)
        return super().update(batch, objective, learning_rate=learning_rate, max_grad_norm=max_grad_norm)


class PerTensorNorm(NumpyBackend):
    """Each gradient clipped by its own norm, as paddle.nn.ClipGradByNorm has it."""

    def _adam(self, learning_rate):
        if self.limit is not None:
            for gradient in self._layout.named(self._unclipped).values():
                gradient *= min(1.0, self.limit / max(np.linalg.norm(gradient), 1e-300))
            self._gradient[...] = self._unclipped
        super()._adam(learning_rate)

    def update(self, batch, objective, *, learning_rate, max_grad_norm):
        self.limit = max_grad_norm
        _Loss(self, batch, objective).backward()
        self._unclipped = self._gradient.copy()
        return super().update(batch, objective, learning_rate=learning_rate, max_grad_norm=max_grad_norm)


class DdofOne(OtherInputs):
    """The mean of the policy loss over one sample fewer."""

    def change(self, batch, objective):
        count, advantages = len(batch.advantages), batch.advantages
        return batch._replace(advantages=advantages * advantages.dtype.type(count / max(count - 1, 1))), objective


class EntropySign(OtherInputs):
    def change(self, batch, objective):
        return batch, replace(objective, entropy_coef=-objective.entropy_coef)


class ValueLossNotHalved(OtherInputs):
    def change(self, batch, objective):
        return batch, replace(objective, value_coef=2.0 * objective.value_coef)

    def evaluate(self, batch, objective):
        evaluation = super().evaluate(batch, objective)
        return evaluation._replace(value_loss=2.0 * evaluation.value_loss)


class NoClamp(NumpyBackend):
    def evaluate(self, batch, objective):
        evaluation = super().evaluate(batch, objective)
        return evaluation._replace(ratio=np.exp(evaluation.log_prob - batch.log_probs))


class LogProbHeld(NumpyBackend):
    """Probabilities kept above exp(-64), as paddle's log_softmax does on the CPU."""

    def evaluate(self, batch, objective):
        evaluation = super().evaluate(batch, objective)
        return evaluation._replace(log_prob=np.maximum(evaluation.log_prob, evaluation.log_prob.dtype.type(-64.0)))


class ThroughTheClip(NumpyBackend):
    """The gradient of the surrogate that is not clipped."""

    def gradients(self, batch, objective):
        return super().gradients(batch, replace(objective, clip_range=1e9))


class WeightsTransposed(NumpyBackend):
    def state(self):
        return {name: array.T.copy() for name, array in super().state().items()}

    def load_state(self, state):
        super().load_state({name: array.T if "adam.step" in state else array for name, array in state.items()})


class Views(NumpyBackend):
    def state(self):
        return to_state(AdamState(*map(self._layout.named, self._stored), self._steps))


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
    def update(self, batch, objective, *, learning_rate, max_grad_norm):
        try:
            return super().update(batch, objective, learning_rate=learning_rate, max_grad_norm=max_grad_norm)
        except NonFiniteError:
            with np.errstate(all="ignore"):
                self._adam(learning_rate)
            raise


class OffTheGrid(NumpyBackend):
    """Leaves out exact mode's rounding of the gradient."""

    def update(self, batch, objective, **settings):
        self._grid = 0.0
        return super().update(batch, objective, **settings)


class Float32LearningRate(NumpyBackend):
    def _adam(self, learning_rate):
        super()._adam(float(np.float32(learning_rate)))


class AnyDevice(NumpyBackend):
    def __init__(self, spec, *, device="cpu", **settings):
        super().__init__(spec, device="cpu", **settings)


class DrawsGlobally(NumpyBackend):
    def _adam(self, learning_rate):
        np.random.random()  # noqa: NPY002 - the mistake
        super()._adam(learning_rate)


class WritesToTheMinibatch(NumpyBackend):
    def update(self, batch, objective, **settings):
        stats = super().update(batch, objective, **settings)
        batch.advantages[...] = 0.0
        return stats


class GradientsAHairTooLong(NumpyBackend):
    """By 512 units in the last place."""

    def gradients(self, batch, objective):
        gradients = super().gradients(batch, objective)
        return {name: g * g.dtype.type(1.0 + 512 * np.finfo(g.dtype).eps) for name, g in gradients.items()}


class Float32Arithmetic(NumpyBackend):
    """Asked for exact mode, computes as in float32 mode and converts."""

    def __init__(self, spec, *, precision="exact", **settings):
        super().__init__(spec, precision="float32", **settings)
        self.dtype = np.float64 if precision == "exact" else np.float32

    def forward(self, observations):
        return tuple(array.astype(self.dtype) for array in super().forward(observations))


MISTAKES = {
    AnyDevice: "wrong_device",
    WeightsTransposed: "state_layout",
    NoStepCount: "state_layout",
    StepCountStuck: "state_layout",
    Float32Arithmetic: "forward",
    LogProbHeld: "log_prob",
    NoClamp: "ratio",
    DdofOne: "policy_loss",
    ValueLossNotHalved: "value_loss",
    EntropySign: "total_loss",
    ThroughTheClip: "gradients",
    GradientsAHairTooLong: "gradients",
    NormWithMargin: "clipped_gradient",
    PerTensorNorm: "clipped_gradient",
    Float32LearningRate: "learning_rate",
    EpsilonInsideTheRoot: "adam_step",
    OffTheGrid: "clipped_gradient",
    Views: "copies",
    WritesToTheMinibatch: "inputs_untouched",
    MomentsNotRounded: "bit_equality",
    MomentsForgotten: "resume",
    AppliesWhatIsNotFinite: "non_finite",
    DrawsGlobally: "process_left_as_found",
}
"""Each backend, and the most elementary property that it must fail."""
