"""Arrays of torch, paddle and JAX give the same numbers as NumPy, in the same kind of array, without imports."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from support.oracle import random_rollout

from ppocore import advantages as library
from ppocore.normalize import explained_variance, masked_whiten, normalize


class Torch:
    def __init__(self):
        self.torch = pytest.importorskip("torch")
        self.kind = self.torch.Tensor

    def make(self, array, dtype=None):
        made = self.torch.tensor(np.ascontiguousarray(array))
        return made if dtype is None else made.to(getattr(self.torch, dtype))

    def numbers(self, x):
        return x.double().numpy()


class Paddle:
    def __init__(self):
        paddle = pytest.importorskip("paddle")
        self.paddle, self.kind = paddle, paddle.Tensor

    def make(self, array, dtype=None):
        made = self.paddle.to_tensor(np.ascontiguousarray(array), place=self.paddle.CPUPlace())
        return made if dtype is None else made.astype(dtype)

    def numbers(self, x):
        return x.astype("float64").numpy()


class Jax:
    def __init__(self):
        self.jax = pytest.importorskip("jax")
        self.kind = self.jax.Array

    def make(self, array, dtype=None):
        return self.jax.numpy.asarray(array, dtype=dtype)

    def numbers(self, x):
        return np.asarray(x.astype("float32"), np.float64)


@pytest.fixture(params=[Torch, Paddle, Jax], ids=["torch", "paddle", "jax"], scope="module")
def framework(request):
    return request.param()


def calls(rollout):
    """Every estimator on one rollout, as (name, arguments, settings)."""
    r, v, nv, term, trunc, valid = rollout
    more = {"gamma": 0.9, "valid": valid}
    return [
        ("gae", (r, v, nv, term, trunc), more),
        ("td_residuals", (r, v, nv, term), more),
        ("discounted_returns", (r, nv, term, trunc), more),
        ("n_step_returns", (r, nv, term, trunc), more | {"n": 3}),
        ("lambda_returns", (r, nv, term, trunc), more | {"lam": 0.8}),
        ("vtrace", (r, v, nv, term, trunc, v), more),
        ("successor_values", (v, v[0], nv, term), {"valid": valid}),
        ("token_gae", (r, v, valid), {"lam": 0.8}),
    ]


def parts(result):
    return result if isinstance(result, tuple) else (result,)


def dtype_of(x):
    return str(x.dtype).rpartition(".")[2]


@pytest.mark.parametrize("invalid", [0.0, 0.3])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_every_estimator_returns_the_kind_and_dtype_of_its_arguments(framework, dtype, invalid):
    if isinstance(framework, Jax) and dtype == "float64":
        pytest.skip("JAX has float64 only with jax_enable_x64")
    rollout = random_rollout(0, 20, 3, invalid=invalid)
    exponent = {"float64": 0, "float32": 0, "float16": 2**-10, "bfloat16": 2**-7}[dtype]
    # Numbers of few bits, which are the same in every format.
    rollout = rollout._replace(**{name: getattr(rollout, name).round(1 if dtype == "float64" else 0) for name in
                                  ("rewards", "values", "next_values")})  # fmt: skip
    for name, arguments, settings in calls(rollout):
        function = getattr(library, name)

        def convert(a):
            return framework.make(a, dtype) if a.dtype.kind == "f" else framework.make(a)

        given = {k: convert(a) if isinstance(a, np.ndarray) else a for k, a in settings.items()}
        results = parts(function(*[convert(a) for a in arguments], **given))
        for result, expected in zip(results, parts(function(*arguments, **settings)), strict=True):
            assert isinstance(result, framework.kind)
            assert dtype_of(result) == dtype
            rtol = exponent or (1e-6 if dtype == "float32" else 1e-12)
            np.testing.assert_allclose(framework.numbers(result), expected, rtol=rtol, atol=1e-6)


def test_integers_are_computed_in_floating_point(framework):
    no = framework.make(np.zeros(2, bool))
    result = library.discounted_returns(framework.make(np.array([1, 2])), 0.0, no, no, gamma=0.5)
    assert framework.numbers(result).tolist() == [2.0, 2.0]


def test_with_mixed_arrays_the_result_is_of_the_rewards_kind(framework):
    r, v, nv, term, trunc, _ = random_rollout(1, 10, 2)
    expected = library.gae(r, v, nv, term, trunc).advantages
    mixed = library.gae(framework.make(r), v, nv, term, framework.make(trunc)).advantages
    assert isinstance(mixed, framework.kind)
    np.testing.assert_allclose(framework.numbers(mixed), expected, rtol=1e-5, atol=1e-5)
    other = library.gae(r, framework.make(v), framework.make(nv), term, trunc).advantages
    assert type(other) is np.ndarray
    np.testing.assert_allclose(other, expected, rtol=1e-5, atol=1e-5)


def test_layouts_and_empty(framework):
    r, v, nv, term, trunc, _ = random_rollout(2, 10, 2)
    expected = library.gae(r, v, nv, term, trunc).returns
    turned = library.gae(*[framework.make(a.T) for a in (r, v, nv, term, trunc)], time_axis=1).returns
    np.testing.assert_allclose(framework.numbers(turned).T, expected, rtol=1e-5, atol=1e-5)
    numbers, flags = framework.make(np.empty((0, 2), np.float32)), framework.make(np.empty((0, 2), bool))
    assert tuple(library.gae(numbers, numbers, numbers, flags, flags).returns.shape) == (0, 2)


def test_normalization(framework):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    result = normalize(framework.make(x), framework.make(x > 1))
    assert isinstance(result, framework.kind)
    assert dtype_of(result) == "float32"
    np.testing.assert_allclose(framework.numbers(result), normalize(x, x > 1), rtol=1e-6)
    whitened = masked_whiten(framework.make(x), framework.make(x > 1))
    assert isinstance(whitened, framework.kind)
    assert dtype_of(whitened) == "float32"
    np.testing.assert_allclose(framework.numbers(whitened), masked_whiten(x, x > 1), rtol=1e-6)
    assert explained_variance(framework.make(x), framework.make(x)) == 1.0


def test_torch_tensors_that_require_grad_are_detached():
    torch = Torch().torch
    values = torch.nn.Parameter(torch.ones(3))
    no = torch.zeros(3, dtype=torch.bool)
    result = library.gae(torch.ones(3), values, 0.0, no, no)
    assert not result.advantages.requires_grad
    assert not result.returns.requires_grad
    assert values.requires_grad


def test_paddle_tensors_that_require_grad_are_detached():
    paddle = Paddle().paddle
    values = paddle.to_tensor([1.0, 1.0, 1.0], stop_gradient=False)
    no = paddle.zeros([3], dtype="bool")
    assert library.gae(paddle.ones([3]), values, 0.0, no, no).advantages.stop_gradient


def test_two_frameworks_are_rejected():
    torch, paddle = Torch(), Paddle()
    r, v, nv, term, trunc, _ = random_rollout(3, 4, 2)
    with pytest.raises(TypeError, match="values is a paddle array among torch arrays"):
        library.gae(torch.make(r), paddle.make(v), nv, term, trunc)
    with pytest.raises(TypeError, match="next_values is a torch array among paddle arrays"):
        library.gae(r, paddle.make(v), torch.make(nv), term, trunc)


def test_the_result_is_on_the_device_of_the_rewards():
    torch = Torch().torch
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    r, v, nv, term, trunc, _ = random_rollout(4, 10, 2)
    expected = library.gae(r, v, nv, term, trunc).advantages
    result = library.gae(*[torch.tensor(a, device="cuda") for a in (r, v, nv)], term, trunc).advantages
    assert result.device.type == "cuda"
    np.testing.assert_allclose(result.cpu().numpy(), expected)


def test_no_framework_is_imported():
    program = (
        "import sys, numpy as np\n"
        "from ppocore.advantages import gae\n"
        "from ppocore.normalize import normalize\n"
        "no = np.zeros(3, bool)\n"
        "normalize(gae(np.ones(3), np.ones(3), 0.0, no, no).advantages)\n"
        "sys.exit(len({'torch', 'paddle', 'jax', 'gymnasium'} & sys.modules.keys()))"
    )
    path = [p for p in sys.path if p]
    run = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{program}"], check=False)
    assert run.returncode == 0
