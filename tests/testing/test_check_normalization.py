"""The checks of normalization find and name the known mistakes, and pass right implementations."""

import numpy as np
import pytest

import ppocore
from ppocore.testing import check_frozen_statistics, check_reward_scaling, check_running_std, check_whitening
from ppocore.testing.normalization import MISTAKES

CHECKS = {
    "whitening": check_whitening,
    "running std": check_running_std,
    "reward scaling": check_reward_scaling,
    "frozen statistics": check_frozen_statistics,
}


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_mistake_is_caught_and_named(name, seed):
    mistake = MISTAKES[name]
    with pytest.raises(AssertionError) as caught:
        CHECKS[mistake.check](mistake.function, seed=seed)
    named = str(caught.value).rpartition("Known mistake: ")[2]
    assert named == f"{name} ({mistake.says})"


def ppocore_running_std(samples):
    moments = ppocore.RunningMeanStd(())
    for sample in samples:
        moments.update(np.array([sample]))
    return float(np.sqrt(moments.var))


def ppocore_scaler(gamma):
    scaler = ppocore.RewardScaler(2, gamma=gamma)
    return lambda rewards, terminated, truncated: scaler(rewards, terminated, truncated, np.ones(2, bool))


def test_ppocore_passes():
    check_whitening(lambda x, mask: ppocore.normalize(x, valid=mask))
    check_running_std(ppocore_running_std)
    check_reward_scaling(ppocore_scaler)
    check_frozen_statistics(lambda: ppocore.ObservationNormalizer((3,)))


def test_the_sample_deviation_is_allowed():
    check_running_std(lambda samples: samples.std(ddof=1) if len(samples) > 1 else 1.0)

    def whiten(x, mask):
        kept = x[mask]
        return (x - kept.mean()) / (kept.std(ddof=1) + 1e-8) if len(kept) > 1 else x * 0.0

    check_whitening(whiten)


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        (check_whitening, lambda x, mask: x - x[mask].mean()),
        (check_running_std, lambda samples: 2.0 * samples.std() + 1.0),
        (check_reward_scaling, lambda gamma: lambda rewards, terminated, truncated: rewards),
    ],
)
def test_an_unknown_mistake_is_none_of_the_known_ones(check, wrong):
    with pytest.raises(AssertionError, match="none of the known ones"):
        check(wrong)
