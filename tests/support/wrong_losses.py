"""Backends with one mistake each in the loss; for `wrong_backends`."""

from dataclasses import replace

import numpy as np

from ppocore.backends.numpy_backend import NumpyBackend
from ppocore.distributions.gaussian import log_slope


class OtherInputs(NumpyBackend):
    """Computes with another minibatch or objective than it is given."""

    def change(self, batch, objective):
        return batch, objective

    def evaluate(self, batch, objective):
        return super().evaluate(*self.change(batch, objective))

    def gradients(self, batch, objective):
        return super().gradients(*self.change(batch, objective))

    def update(self, batch, objective, step):
        return super().update(*self.change(batch, objective), step)


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
        return super().gradients(batch, replace(objective, clip=False, dual_clip=None))


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


class SlopeForgotten(NumpyBackend):
    """The probability of the number that was squashed, not of the action."""

    def evaluate(self, batch, objective):
        evaluation = super().evaluate(batch, objective)
        if self.spec.action_kind != "squashed_gaussian":
            return evaluation
        return evaluation._replace(log_prob=evaluation.log_prob + log_slope(batch.actions).sum(axis=1))


class BitsMaskedTheOtherWay(OtherInputs):
    """Takes the flags of a bit to be those of 1, then of 0."""

    def change(self, batch, objective):
        if self.spec.action_kind == "bernoulli" and batch.masks is not None:
            flags = batch.masks.reshape(len(batch.masks), -1, 2)[:, :, ::-1]
            batch = batch._replace(masks=flags.reshape(batch.masks.shape))
        return batch, objective


class EntropyNotMasked(NumpyBackend):
    def evaluate(self, batch, objective):
        unmasked = super().evaluate(batch._replace(masks=None), objective)
        return super().evaluate(batch, objective)._replace(entropy=unmasked.entropy)


class BetaEntropySign(NumpyBackend):
    def evaluate(self, batch, objective):
        evaluation = super().evaluate(batch, objective)
        return evaluation._replace(entropy=-evaluation.entropy) if self.spec.action_kind == "beta" else evaluation


class DivergenceNotMasked(NumpyBackend):
    def evaluate(self, batch, objective):
        unmasked = super().evaluate(batch._replace(masks=None), objective)
        return super().evaluate(batch, objective)._replace(kl=unmasked.kl)


class DivergenceReversed(NumpyBackend):
    """KL(new || old)."""

    def evaluate(self, batch, objective):
        evaluation = super().evaluate(batch, objective)
        if not objective.kl_coef:
            return evaluation
        both = [self.forward(batch.observations)[0], batch.old_parameters]
        if batch.masks is not None:
            both = [self._distribution.apply_masks(parameters, batch.masks) for parameters in both]
        return evaluation._replace(kl=float(self._distribution.divergence(*both)[0].mean()))


class DualClipOfGoodActions(NumpyBackend):
    """A floor of dual_clip * advantage whatever the advantage's sign."""

    def evaluate(self, batch, objective):
        evaluation = super().evaluate(batch, objective)
        if objective.dual_clip is None:
            return evaluation
        clipped = np.clip(evaluation.ratio, 1.0 - objective.clip_range, 1.0 + objective.clip_range)
        surrogate = np.minimum(evaluation.ratio * batch.advantages, clipped * batch.advantages)
        held = np.maximum(surrogate, objective.dual_clip * batch.advantages)
        return evaluation._replace(policy_loss=-float(held.mean()))


class BiasesPenalised(NumpyBackend):
    """The L2 term over the critic's biases too."""

    def evaluate(self, batch, objective):
        evaluation = super().evaluate(batch, objective)
        biases = [array for name, array in self.weights().items() if name.startswith("critic.") and array.ndim == 1]
        squares = sum(float((bias.astype(np.float64) ** 2).sum()) for bias in biases)
        return evaluation._replace(loss=evaluation.loss + objective.critic_l2_coef * squares)


class LogStdTrained(NumpyBackend):
    """Though it is not to be."""

    def __init__(self, spec, **settings):
        super().__init__(replace(spec, learn_log_std=True), **settings)


class MaskedAlmost(NumpyBackend):
    """What is masked has a logit of 50 less than the least: nothing that an error in ulps shows."""

    def __init__(self, spec, **settings):
        super().__init__(spec, **settings)
        if "categorical" in spec.action_kind:
            self._distribution.apply_masks = lambda parameters, masks: np.where(
                masks, parameters, parameters.min(axis=1, keepdims=True) - parameters.dtype.type(50.0)
            )
