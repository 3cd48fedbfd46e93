"""Estimators inside torch.compile, torch.export and JAX's transformations, and what holds no numbers is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from support.oracle import random_rollout

from ppocore import advantages as library
from ppocore.normalize import masked_whiten, normalize

ROLLOUT = random_rollout(0, 12, 3, invalid=0.2)


def arrays(make):
    r, v, nv, term, trunc, valid = [make(a.astype(np.float32) if a.dtype == float else a) for a in ROLLOUT]
    last = v[0]
    return {
        "gae": (lambda r: library.gae(r, v, nv, term, truncated=trunc, gamma=0.9, valid=valid), r),
        "gae of a number": (lambda r: library.gae(r, v, 0.5, term, trunc, lam=1), r),
        "td_residuals": (lambda r: library.td_residuals(r, v, nv, term, gamma=1), r),
        "discounted_returns": (lambda r: library.discounted_returns(r, nv, term, trunc, gamma=0.9), r),
        "lambda_returns": (lambda r: library.lambda_returns(r, nv, term, trunc, gamma=0.9, lam=0.5), r),
        "n_step_returns": (lambda r: library.n_step_returns(r, nv, term, trunc, gamma=0.9, n=3, time_axis=1), r),
        "vtrace": (lambda r: library.vtrace(r, v, nv, term, trunc, v, gamma=0.9, rho_clip=2.0), r),
        "successor_values": (lambda v: library.successor_values(v, last, valid=valid), v),
        "token_gae": (lambda r: library.token_gae(r, v, valid, last_values=r[:, 0], lam=v * 0 + 0.5), r),
        "lists": (lambda r: library.gae([r[0], r[1]], [v[0], v[1]], 0.0, term[:2], [trunc[0], trunc[1]]), r),
        "normalize": (lambda r: normalize(r, valid), r),
        "masked_whiten": (lambda r: masked_whiten(r, valid, shift_mean=False), r),
    }


def same(found, expected, numpy):
    parts = found if isinstance(found, tuple) else (found,)
    wanted = expected if isinstance(expected, tuple) else (expected,)
    assert type(found) is type(expected)
    for part, other in zip(parts, wanted, strict=True):
        assert part.dtype == other.dtype
        np.testing.assert_array_equal(numpy(part), numpy(other))


NAMES = list(arrays(np.asarray))


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax")


class TestTorch:
    @pytest.mark.parametrize("fullgraph", [False, True])
    @pytest.mark.parametrize("name", NAMES)
    def test_compiled(self, torch, name, fullgraph):
        function, x = arrays(torch.from_numpy)[name]
        torch._dynamo.reset()
        same(torch.compile(function, backend="eager", fullgraph=fullgraph)(x), function(x), np.asarray)

    def test_compiled_by_itself_and_with_other_sizes(self, torch):
        torch._dynamo.reset()
        compiled = torch.compile(library.gae, backend="aot_eager", fullgraph=True, dynamic=True)
        for length in (3, 5, 6):
            x, no = torch.arange(2.0 * length).reshape(length, 2), torch.zeros(length, 2, dtype=torch.bool)
            same(compiled(x, x, x, no, no), library.gae(x, x, x, no, no), np.asarray)

    @pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16", "int64"])
    def test_other_formats(self, torch, dtype):
        torch._dynamo.reset()
        x, no = torch.arange(6).reshape(3, 2).to(getattr(torch, dtype)), torch.zeros(3, 2, dtype=torch.bool)

        def function(x):
            return library.gae(x, x, x, no, no)

        found = torch.compile(function, backend="eager", fullgraph=True)(x)
        same(found, function(x), lambda part: part.double().numpy())

    def test_numpy_arrays_inside(self, torch):
        torch._dynamo.reset()

        def function(x):
            a = x.numpy()
            return library.td_residuals(a, a, a, a > 2, gamma=0.9)

        x = torch.arange(6.0).reshape(3, 2)
        found = torch.compile(function, backend="eager", fullgraph=True)(x)
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, function(x))

    def test_no_gradient_flows(self, torch):
        torch._dynamo.reset()
        no = torch.zeros(3, 2, dtype=torch.bool)

        def loss(v):
            return ((library.gae(torch.ones(3, 2), v, 0.0, no, no).returns - v) ** 2).sum()

        v, w = [torch.full((3, 2), 3.0).requires_grad_() for _ in range(2)]
        loss(v).backward()
        torch.compile(loss, backend="aot_eager", fullgraph=True)(w).backward()
        np.testing.assert_array_equal(v.grad, w.grad)
        assert v.grad.abs().sum() > 0

    def test_errors_are_those_outside(self, torch):
        torch._dynamo.reset()
        x, no = torch.ones(3, 2), torch.zeros(3, 2, dtype=torch.bool)
        with pytest.raises(TypeError, match="not one done flag"):
            torch.compile(lambda x: library.gae(x, x, no, x[0], 0.9, 0.9), backend="eager", fullgraph=True)(x)
        with pytest.raises(ValueError, match=r"values has shape \(2, 2\), but shape \(3, 2\)"):
            torch.compile(lambda x: library.gae(x, x[:2], x, no, no), backend="eager", fullgraph=True)(x)

    def test_exported(self, torch):
        class Module(torch.nn.Module):
            def forward(self, x, no):
                return library.gae(x, x, x, no, no).advantages

        x, no = torch.ones(3, 2), torch.zeros(3, 2, dtype=torch.bool)
        exported = torch.export.export(Module(), (x, no)).module()
        same(exported(x, no), library.gae(x, x, x, no, no).advantages, np.asarray)

    def test_tensors_that_hold_no_numbers_are_refused(self, torch):
        x, no = torch.ones(3, 2), torch.zeros(3, 2, dtype=torch.bool)
        message = "rewards holds no numbers that can be read here .*: call this outside"
        with pytest.raises(ValueError, match=message):
            torch.func.vmap(lambda r: library.gae(r, r, r, no[:, 0], no[:, 0]), in_dims=1)(x)
        with pytest.raises(ValueError, match=message):
            torch.func.grad(lambda r: library.gae(r, x, x, no, no)[0].sum())(x)
        with pytest.raises(ValueError, match=message):
            library.gae(x.to("meta"), x, x, no, no)

    def test_lists_of_tensors_are_one_tensor(self, torch):
        x, no = torch.arange(6.0).reshape(3, 2), torch.zeros(3, 2, dtype=torch.bool)
        rows = [row.clone().requires_grad_() for row in x]
        same(library.gae(rows, tuple(rows), list(x), list(no), no), library.gae(x, x, x, no, no), np.asarray)
        numbers = [[n.bfloat16() for n in row] for row in x]
        assert library.td_residuals(numbers, x.bfloat16(), x.bfloat16(), no, gamma=0.9).dtype == torch.bfloat16

    def test_nothing_imports_torch(self):
        program = "import sys, ppocore.advantages.graphs, ppocore.advantages.calls; sys.exit('torch' in sys.modules)"
        path = [p for p in sys.path if p]
        done = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{program}"], check=False)
        assert done.returncode == 0


class TestJax:
    @pytest.mark.parametrize("name", NAMES)
    def test_jit(self, jax, name):
        function, x = arrays(jax.numpy.asarray)[name]
        same(jax.jit(function)(x), function(x), np.asarray)

    def test_vmap_over_environments(self, jax):
        r, v, nv, term, trunc, _ = [jax.numpy.asarray(a) for a in ROLLOUT]
        for wrap in (lambda f: f, jax.jit):
            found = wrap(jax.vmap(library.gae, in_axes=1, out_axes=1))(r, v, nv, term, trunc)
            same(found, library.gae(r, v, nv, term, trunc), lambda x: np.asarray(x).round(5))

    def test_the_result_is_a_constant_under_grad(self, jax):
        r, v, nv, term, trunc, _ = [jax.numpy.asarray(a) for a in ROLLOUT]
        returns = library.gae(r, v, nv, term, trunc).returns
        found = jax.jit(jax.grad(lambda v: ((library.gae(r, v, nv, term, trunc).returns - v) ** 2).sum()))(v)
        np.testing.assert_allclose(found, 2 * (v - returns), rtol=1e-6)

    def test_gamma_may_be_traced(self, jax):
        r, v, nv, term, trunc, _ = [jax.numpy.asarray(a) for a in ROLLOUT]
        found = jax.jit(lambda g: library.gae(r, v, nv, term, trunc, gamma=g))(0.5)
        same(found, library.gae(r, v, nv, term, trunc, gamma=0.5), np.asarray)

    def test_errors_come_while_it_is_traced(self, jax):
        x, no = jax.numpy.ones((3, 2)), jax.numpy.zeros((3, 2), bool)
        with pytest.raises(ValueError, match=r"values has shape \(2, 2\), but shape \(3, 2\)"):
            jax.jit(lambda x: library.gae(x, x[:2], x, no, no))(x)
        with pytest.raises(TypeError, match="not one done flag"):
            jax.jit(lambda x: library.gae(x, x, no, x[0], 0.9, 0.9))(x)

    def test_bfloat16(self, jax):
        x, no = jax.numpy.ones((3, 2), "bfloat16"), jax.numpy.zeros((3, 2), bool)
        found = jax.jit(lambda x: library.gae(x, x, x, no, no))(x)
        same(found, library.gae(x, x, x, no, no), lambda part: np.asarray(part.astype("float32")))


def test_paddle_lists():
    paddle = pytest.importorskip("paddle")
    x, no = paddle.arange(6.0).reshape([3, 2]), paddle.zeros([3, 2], "bool")
    found = library.gae(list(x), list(x), list(x), list(no), no)
    same(found, library.gae(x, x, x, no, no), lambda part: part.numpy())
