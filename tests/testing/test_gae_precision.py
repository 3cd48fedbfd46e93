"""A right function is judged in the precision that it computes in; a small mistake is not taken for rounding."""

import re

import numpy as np
import pytest
import torch
from support.gae_signatures import buffer
from support.right_gae import loop, scan, vectorized

from ppocore.errors import UsageError
from ppocore.testing import check_gae, from_dones, token_level
from ppocore.testing.gae.frameworks import Framework


def constants_of_float32(r, v, d, last, gamma, lam):
    """Multiply by masks and by a product of float32, as torch code does without noticing."""
    alive, found, following = 1.0 - d.float(), torch.zeros_like(v), 0.0
    for t in reversed(range(len(r))):
        after = last if t == len(r) - 1 else v[t + 1]
        following = r[t] + gamma * after * alive[t] - v[t] + gamma * lam * alive[t] * following
        found[t] = following
    return found


def numbers_for_flags(r, v, dones, last, gamma, lam):
    found, following = torch.zeros_like(v), 0.0
    for t in reversed(range(len(r))):
        alive = 1.0 - dones[t]  # an error of torch for bool
        after = last if t == len(r) - 1 else v[t + 1]
        following = r[t] + gamma * after * alive - v[t] + gamma * lam * alive * following
        found[t] = following
    return found


@pytest.mark.parametrize("dtype", [None, "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("function", [constants_of_float32, numbers_for_flags])
def test_right_torch_functions_pass_in_every_format(function, dtype):
    report = check_gae(from_dones(function), arrays="torch", dtype=dtype, max_examples=12)
    assert report.dtype == (dtype or "float32")


def test_the_report_says_in_what_it_judged():
    report = check_gae(from_dones(constants_of_float32), arrays="torch", dtype="float64", max_examples=12)
    assert (report.dtype, report.precision) == ("float64", "float32")
    assert "Judged in float32, which it computes in, not float64." in str(report)


@pytest.mark.parametrize("function", [loop, vectorized, scan])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_right_numpy_functions_pass_in_every_format(function, dtype):
    check_gae(function, dtype=dtype, max_examples=12)


@pytest.mark.parametrize("flags", ["bool", "float", "int"])
def test_flags_are_handed_out_as_declared(flags):
    seen = set()

    def looks(rewards, values, dones, last_values, gamma, lam):
        seen.add(dones.dtype.name)
        return buffer(rewards, values, dones, last_values, gamma, lam)

    check_gae(looks, flags=flags, dtype="float32", max_examples=5)
    assert seen == {{"bool": "bool", "float": "float32", "int": "int64"}[flags]}


def test_flags_are_the_first_kind_that_it_takes():
    def only_integers(r, v, d, last, gamma, lam):
        if d.dtype.kind != "i":
            raise TypeError("not an integer")
        return buffer(r, v, d, last, gamma, lam)

    check_gae(from_dones(only_integers), max_examples=5)
    report = check_gae(from_dones(only_integers), flags="float", max_examples=5, raise_on_failure=False)
    assert "it raised TypeError: not an integer" in str(report)


@pytest.mark.parametrize("size", [1e-6, 1e-9])
def test_a_small_mistake_is_not_taken_for_rounding(size):
    report = check_gae(from_dones(lambda *x: buffer(*x) + size), max_examples=12, raise_on_failure=False)
    assert not report.passed
    assert report.precision == "float64"


def test_numbers_that_print_alike_come_with_their_difference():
    report = check_gae(from_dones(lambda *x: buffer(*x) * (1 + 1e-9)), max_examples=12, raise_on_failure=False)
    assert re.search(r"which differs by [\d.]+e-\d\d; rounding allows [\d.]+e-\d\d", report.failures[0].failure.message)


def test_jax_as_it_comes_is_judged_in_float32():
    jax = pytest.importorskip("jax")

    @jax.jit
    def scanned(r, v, nv, te, tr, gamma, lam):
        def step(following, row):
            residual, alive = row
            following = residual + gamma * lam * alive * following
            return following, following

        residuals = r + gamma * nv * (1 - te) - v
        return jax.lax.scan(step, jax.numpy.zeros_like(v[0]), (residuals, 1.0 - (te | tr)), reverse=True)[1]

    report = check_gae(lambda *x, gamma, lam: scanned(*x, gamma, lam), arrays="jax", max_examples=5)
    assert report.dtype == "float32"
    with pytest.raises(UsageError, match="dtype='float64' needs JAX's jax_enable_x64"):
        check_gae(scanned, arrays="jax", dtype="float64")


@pytest.mark.parametrize("adapter", [from_dones, token_level])
def test_paddle_functions_are_called_through_adapters(adapter):
    paddle = pytest.importorskip("paddle")

    def dones(r, v, d, last, gamma, lam):
        alive, found, following = 1.0 - d.astype(v.dtype), [], paddle.zeros_like(last)
        for t in reversed(range(len(r))):
            after = last if t == len(r) - 1 else v[t + 1]
            following = r[t] + gamma * after * alive[t] - v[t] + gamma * lam * alive[t] * following
            found.append(following)
        return paddle.stack(found[::-1])

    def tokens(r, v, mask, gamma, lam):
        here, found = mask.astype(v.dtype), []
        following = after = paddle.zeros_like(v[:, 0])
        for t in reversed(range(r.shape[1])):
            new = r[:, t] + gamma * after - v[:, t] + gamma * lam * following
            following = paddle.where(mask[:, t].astype("bool"), new, following)
            after = paddle.where(mask[:, t].astype("bool"), v[:, t], after)
            found.append(following)
        return paddle.stack(found[::-1], 1) + 0 * here

    check_gae(adapter(dones if adapter is from_dones else tokens), arrays="paddle", max_examples=8)


def test_rows_as_a_list_are_the_array_that_they_are():
    check_gae(from_dones(lambda *x: list(buffer(*x))), max_examples=8)
    check_gae(from_dones(lambda *x: buffer(*x).tolist()), max_examples=8)
    check_gae(
        from_dones(lambda *x: list(numbers_for_flags(*x).unbind(0))), arrays="torch", flags="float", max_examples=8
    )


def test_bfloat16_is_rounded_to_the_nearest_even():
    numbers = np.random.default_rng(0).normal(size=1000) * 10.0 ** np.random.default_rng(1).integers(-20, 20, 1000)
    expected = torch.from_numpy(numbers).float().bfloat16().float().numpy()
    np.testing.assert_array_equal(Framework("torch", "bfloat16").rounded(numbers), expected)
    ties = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8])  # halfway between two
    assert Framework("torch", "bfloat16").rounded(ties).tolist() == [1.0, 1 + 2.0**-6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float8"}, "dtype='float8' is unknown: use one of float64"),
        ({"dtype": "bfloat16"}, "NumPy has no bfloat16: use dtype='float16', or arrays='torch'"),
        ({"flags": "byte"}, "flags='byte' is unknown"),
    ],
)
def test_wrong_declarations_are_one_sentence(options, message):
    with pytest.raises(UsageError, match=message):
        check_gae(loop, **options)
