"""Every known mistake is named, in every variant, through adapters, in other frameworks, and two at once."""

import numpy as np
import pytest
from support.gae_signatures import buffer, recursion
from support.wrong_gae import OF_NUMBERS, THROUGH_DONES, in_framework, of_dones, of_flags

from ppocore.testing import DEFECTS, batch_major, check_gae, from_dones
from ppocore.testing.gae.candidate import Candidate
from ppocore.testing.gae.diagnosis import diagnose


def names(report):
    return [name for name, _ in report.diagnosis.mistakes]


def diagnosed(function, **options):
    """Name the mistakes without checking the properties, which is a tenth of the work."""
    adapted = function if hasattr(function, "signature") else None
    candidate = Candidate(
        adapted.function if adapted else function, signature=adapted.signature if adapted else None, **options
    )
    candidate.choose_flags()
    found = diagnose(candidate)
    assert found.choice is None
    return [defect.name for defect in found.mistakes]


@pytest.mark.parametrize("variant", OF_NUMBERS)
def test_every_variant_is_named(variant):
    name, change, early = OF_NUMBERS[variant]
    assert diagnosed(of_flags(change, early)) == [name]


@pytest.mark.parametrize("variant", THROUGH_DONES)
def test_every_variant_is_named_through_dones(variant):
    name, change, early = THROUGH_DONES[variant]
    assert diagnosed(from_dones(of_dones(change, early))) == [name]


@pytest.mark.parametrize("arrays", ["torch", "paddle", "jax"])
def test_mistakes_are_named_in_other_frameworks(arrays):
    pytest.importorskip(arrays)
    for name in ("ends ignored", "recursion never cut", "gamma and lambda swapped", "last row gets 0"):
        change, early = DEFECTS[name].changes[0], DEFECTS[name].early
        assert diagnosed(from_dones(in_framework(of_dones(change, early), arrays)), arrays=arrays) == [name]


PAIRS = [
    ("truncation treated as termination", "no bootstrap after the last row"),
    ("ends read one step late", "lambda missing in the recursion"),
    ("gamma missing in the residual", "recursion never cut"),
    ("rewards read one step early", "last row gets 0"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_two_mistakes_at_once_are_both_named(pair):
    from ppocore.testing.gae.plan import advantages_with
    from ppocore.testing.gae.trajectories import Trajectory

    changes = [(DEFECTS[name].changes[0], DEFECTS[name].early) for name in pair]

    def wrong(r, v, nv, te, tr, gamma, lam):
        return advantages_with(changes, Trajectory(r, v, nv, te, tr, np.ones_like(te), gamma, lam))

    assert sorted(diagnosed(wrong)) == sorted(pair)


def test_what_is_cut_off_with_integers_does_not_hide_another_mistake():
    def both(r, v, d, last, gamma, lam):
        found = np.zeros_like(r)
        found[...] = buffer(r, v, 0 * d, last, gamma, lam)
        return found.astype(float)

    report = check_gae(from_dones(both), max_examples=15, raise_on_failure=False)
    assert names(report) == ["integer rewards truncate the result", "ends ignored"]


def cut_off(exact, rewards):
    """Return numbers of the rewards' dtype, without their fractions, and then floats."""
    found = np.zeros_like(rewards)
    found[...] = exact
    return found.astype(float)


INTEGERS = {
    "flags": lambda r, v, nv, te, tr, gamma, lam: cut_off(
        recursion(r + gamma * nv * ~te - v, ~(te | tr), gamma * lam), r
    ),
    "dones": from_dones(lambda *x: cut_off(buffer(*x), x[0])),
    "batch major": batch_major(from_dones(lambda *x: cut_off(buffer(*(a.T for a in x[:4]), *x[4:]).T, x[0]))),
}


@pytest.mark.parametrize("signature", INTEGERS)
def test_integers_reach_the_function_through_adapters(signature):
    report = check_gae(INTEGERS[signature], max_examples=15, raise_on_failure=False)
    assert names(report) == ["integer rewards truncate the result"]
    assert [result.name for result in report.failures] == ["other_dtypes"]


def test_an_argument_that_is_written_to_is_named_beside_another_mistake():
    def writes(r, v, d, last, gamma, lam):
        result = buffer(r, v, d, last, lam, gamma)
        last *= 0
        return result

    report = check_gae(from_dones(writes), max_examples=15, raise_on_failure=False)
    assert names(report) == ["last values written to", "gamma and lambda swapped"]


def test_a_mistake_within_rounding_of_float32_is_named_in_float64():
    def single(r, v, d, last, gamma, lam):
        return buffer(r, v, 0 * d, last, gamma, float(np.float32(lam)))

    report = check_gae(from_dones(single), max_examples=15, raise_on_failure=False)
    assert names(report) == ["ends ignored"]
    assert report.precision == "float32"


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
@pytest.mark.parametrize(
    ("wrong", "smallest"),
    [
        (lambda r, v, d, last, g, la: buffer(np.clip(r, -1, 1), v, d, last, g, la), (1, 1)),
        (
            lambda r, v, d, last, g, la: buffer(r, v, np.roll(d, 1, 0) * (len(d) > 1) + d * (len(d) < 2), last, g, la),
            (2, 1),
        ),
        (lambda r, v, d, last, g, la: buffer(r, v, d, last, g, la) + (r.shape[1] > 1) * r[:, :1], (1, 2)),
        (lambda r, v, d, last, g, la: buffer(r, v, d, last, g, la) * (1 + (len(r) > 2)), (3, 1)),
    ],
    ids=["reward clipped", "row before", "first column", "three rows"],
)
def test_a_counterexample_has_the_smallest_shape(wrong, smallest, seed):
    report = check_gae(from_dones(wrong), max_examples=25, seed=seed, raise_on_failure=False)
    assert report.failures[0].failure.trajectory.shape == smallest


@pytest.mark.parametrize(("rows", "columns"), [(129, 1), (1, 5), (1, 129), (257, 1)])
def test_what_goes_wrong_in_large_rollouts_alone_is_found(rows, columns):
    def wrong(r, v, d, last, g, la):
        found = buffer(r, v, d, last, g, la)
        found[: -(rows - 1) or None, columns - 1 :] = 0.0
        return found

    if (rows, columns) in ((1, 5), (1, 129)):

        def wrong(r, v, d, last, g, la):
            found = buffer(r, v, d, last, g, la)
            found[:, columns - 1 :] = 0.0
            return found

    report = check_gae(from_dones(wrong), max_examples=10, raise_on_failure=False)
    failure = report.failures[0].failure
    assert report.failures[0].name == "large_rollouts"
    assert failure.trajectory.shape == (rows, columns)
    printed = []
    exec(failure.code, {"wrong": wrong, "print": printed.append})
    assert np.asarray(printed[0]).shape == (rows, columns)


ARRAYS = {"numpy": "np.array", "torch": "torch.tensor", "paddle": "paddle.to_tensor", "jax": "jnp.array"}


@pytest.mark.parametrize("arrays", ARRAYS)
def test_the_code_runs_in_the_framework_and_shows_the_mistake(arrays):
    pytest.importorskip(arrays)
    change = DEFECTS["ends ignored"].changes[0]
    wrong = in_framework(of_dones(change, False), arrays)
    report = check_gae(from_dones(wrong), arrays=arrays, max_examples=12, raise_on_failure=False)
    failure = report.failures[0].failure
    assert f"dones = {ARRAYS[arrays]}([[" in failure.code
    printed = []
    exec(failure.code, {"wrong": wrong, "print": printed.append})
    np.testing.assert_allclose(np.asarray(printed[0]), np.array(eval(failure.actual)), rtol=1e-5)


def test_the_code_of_an_episode_calls_once_for_each():
    def wrong(rewards, values, gamma, lam):
        return np.zeros(len(rewards))

    from ppocore.testing import episode_lists

    failure = check_gae(episode_lists(wrong), max_examples=10, raise_on_failure=False).failures[0].failure
    printed = []
    exec(failure.code, {"wrong": wrong, "print": printed.append})
    assert len(printed) == len(failure.trajectory.ended) == 1
