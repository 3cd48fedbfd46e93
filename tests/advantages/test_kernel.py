"""The compiled kernel gives NumPy's bits, and where there is none NumPy computes and at most one warning says why."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.oracle import random_rollout

from ppocore import gae
from ppocore.advantages import kernel
from ppocore.advantages.gae import numpy_gae
from ppocore.errors import RunWarning


def rollout(shape, dtype, ends=0.05, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for _ in range(3)] + [rng.random(shape) < ends for _ in range(2)]


def same(found, expected):
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))


@pytest.fixture
def fresh(monkeypatch):
    """No kernel loaded yet, and none kept."""
    monkeypatch.setattr(kernel, "_kernels", {})
    monkeypatch.delenv("PPOCORE_NUMBA", raising=False)
    return monkeypatch


class TestCompiled:
    @pytest.fixture(autouse=True)
    def _numba(self):
        pytest.importorskip("numba")
        assert kernel.kernel_for("f") is not None
        assert kernel.kernel_for("d") is not None

    # Rows one by one and in blocks of blocks, one column and several, one piece and several, a remainder and none.
    SHAPES = (
        (1, 1), (15, 3), (16, 3), (47, 1), (48, 1), (49, 1), (128, 8), (300, 299), (3, 300), (700, 301), (20, 1500),
        (464, 299), (2048, 1), (5000, 7), (139_000, 1), (69_301, 2),
    )  # fmt: skip

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_every_bit_is_that_of_numpy(self, shape, dtype):
        for ends in (0.0, 0.01, 0.3, 1.0):
            for gamma, lam in ((0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (0.0, 0.9)):
                arguments = rollout(shape, dtype, ends)
                assert same(gae(*arguments, gamma=gamma, lam=lam), numpy_gae(*arguments, gamma=gamma, lam=lam))

    @settings(max_examples=100, deadline=None)
    @given(st.integers(1, 400), st.integers(1, 12), st.integers(0, 2**32), st.sampled_from("fd"))
    def test_every_bit_is_that_of_numpy_at_random_shapes(self, length, columns, seed, dtype):
        arguments = rollout((length, columns), dtype, seed=seed)
        assert same(gae(*arguments), numpy_gae(*arguments))

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
    def test_arguments_of_other_layouts_and_formats(self, dtype):
        numbers, flags = rollout((60, 3), np.float64)[:3], rollout((60, 3), np.float64)[3:]
        arguments = [(8 * a).astype(dtype) for a in numbers] + flags
        expected = numpy_gae(*arguments)
        assert same(gae(*[np.asfortranarray(a) for a in arguments]), expected)
        turned = gae(*[a.T for a in arguments], time_axis=1)
        assert same([np.ascontiguousarray(a.T) for a in turned], expected)
        locked = [a.copy() for a in arguments]
        for a in locked:
            a.flags.writeable = False
        assert same(gae(*locked), expected)
        assert same(gae(*arguments[:3], *[a.astype(np.int8) for a in flags]), expected)
        mixed = [arguments[0], arguments[1].astype(np.float32), arguments[2], *flags]
        assert same(gae(*mixed), numpy_gae(*mixed))
        number = (arguments[0], arguments[1], 0.1, *flags)
        assert same(gae(*number), numpy_gae(*number))
        one = [np.ascontiguousarray(a[:, 0]) for a in arguments]
        assert same(gae(*one), numpy_gae(*one))
        assert same(gae(*[a[..., None] for a in arguments]), numpy_gae(*[a[..., None] for a in arguments]))

    @pytest.mark.parametrize("invalid", [0.2, 1.0])
    def test_invalid_rows(self, invalid):
        r = random_rollout(3, 50, 4, invalid=invalid)
        assert same(gae(*r[:5], valid=r.valid), numpy_gae(*r[:5], valid=r.valid))

    @pytest.mark.parametrize("shape", [(40, 3), (5, 400)])
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
    def test_numbers_that_are_not_finite_or_too_large_are_those_of_numpy(self, shape, bad):
        for name in range(3):
            arguments = rollout(shape, np.float32, 0.2)
            arguments[name][shape[0] // 2] = bad
            with np.errstate(all="ignore"):
                assert same(gae(*arguments), numpy_gae(*arguments))

    def test_a_terminated_step_does_not_read_what_follows(self):
        r, v, nv, term, trunc = rollout((40, 3), np.float32, 0.2)
        assert same(gae(r, v, np.where(term, np.float32(np.nan), nv), term, trunc), gae(r, v, nv, term, trunc))

    def test_minus_zero_is_that_of_numpy(self):
        for shape in ((60, 1), (60, 3), (4, 310)):
            zeros = [-np.zeros(shape, np.float32) for _ in range(3)]
            for flags in (np.zeros(shape, bool), np.ones(shape, bool)):
                assert same(gae(*zeros, flags, flags), numpy_gae(*zeros, flags, flags))

    def test_arguments_are_not_written_to(self):
        arguments = rollout((64, 3), np.float32)
        copies = [a.copy() for a in arguments]
        gae(*arguments)
        assert same(arguments, copies)

    def test_it_is_used(self, monkeypatch):
        called = []
        monkeypatch.setitem(kernel._kernels, "f", lambda *a: called.append(1) or False)
        arguments = rollout((4, 3), np.float32)
        assert same(gae(*arguments), numpy_gae(*arguments))
        assert called == [1]


class TestWithout:
    def test_nothing_is_said_if_numba_is_not_installed(self, fresh):
        fresh.setattr(kernel, "find_spec", lambda name: None)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gae(*rollout((4, 3), np.float32))
        assert kernel._kernels == {"f": None}

    def test_the_environment_can_leave_it_out(self, fresh):
        fresh.setattr(kernel, "find_spec", lambda name: pytest.fail("asked for Numba"))
        fresh.setenv("PPOCORE_NUMBA", "0")
        gae(*rollout((4, 3), np.float64))
        assert kernel._kernels == {"d": None}

    def test_a_broken_numba_is_named_once_and_the_numbers_are_the_same(self, fresh):
        def broken(name):
            raise ImportError("llvmlite.so: cannot\nopen shared object file")

        fresh.setattr(kernel, "find_spec", lambda name: object())
        fresh.setattr(kernel, "import_module", broken)
        arguments = rollout((4, 3), np.float32)
        with pytest.warns(RunWarning, match="ImportError: llvmlite.so: cannot open shared object file") as caught:
            found = gae(*arguments)
        assert len(caught) == 1
        assert same(found, numpy_gae(*arguments))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert same(gae(*arguments), found)

    @pytest.mark.parametrize("wrong", ["bits", "refuses"])
    def test_a_kernel_of_other_bits_is_not_used(self, fresh, wrong):
        def compiled(r, v, nv, term, trunc, gamma, factor, limit, advantages, returns, y, keep):
            from ppocore.advantages.rows import Rows, gae_rows

            gae_rows(Rows(r, v, nv, term, trunc), gamma, factor / gamma, advantages, returns)
            advantages[0] += advantages[0] * 1e-7 if wrong == "bits" else 0
            return wrong == "bits"

        fresh.setattr(kernel, "find_spec", lambda name: object())
        fresh.setattr(kernel, "import_module", lambda name: SimpleNamespace(compile_for=lambda dtype: compiled))
        arguments = rollout((4, 3), np.float32)
        with pytest.warns(RunWarning, match="does not give the same bits as NumPy here"):
            assert same(gae(*arguments), numpy_gae(*arguments))

    def test_training_and_import_do_not_load_numba(self):
        program = (
            "import sys, numpy as np, ppocore\n"
            "from ppocore.advantages.estimators import estimate\n"
            "from types import SimpleNamespace as S\n"
            "x, f = np.zeros((4, 2), np.float32), np.zeros((4, 2), bool)\n"
            "r = S(rewards=x, values=x, next_values=x, terminated=f, truncated=f, valid=~f)\n"
            "estimate(r, gamma=0.9, lam=0.9)\n"
            "sys.exit('numba' in sys.modules)"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        assert subprocess.run([sys.executable, "-c", program], env=environment, check=False).returncode == 0
