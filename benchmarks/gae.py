"""Time ``ppocore.gae``, with Numba and without, the usual loops, and the compiled functions of other libraries.

    python benchmarks/gae.py [--json] [--library PATH]

Every contender takes the same float32 arrays and bool flags, in the layout of its own, prepared outside the clock.
``gae`` checks its arguments, computes in float64, and returns advantages and returns; so do the loops, in float32. The
others return advantages alone and check nothing.

- gae: with Numba if it is installed (``pip install 'ppocore[numba]'``); numpy: without it.
- loop: everything inside ``for t in reversed(range(T))``, vectorized over N, like most scripts.
- hoisted: delta and the masks computed for all rows at once, only the recursion in the loop.
- copy: one pass over each argument and each result, a lower limit for every implementation.
- tianshou: ``tianshou.algorithm.algorithm_base._gae``, compiled with Numba, on all columns one after the other.
- puffer2: ``c_gae.compute_gae`` of PufferLib 2, compiled with Cython, likewise.
- puffer3: ``torch.ops.pufferlib.compute_puff_advantage`` of PufferLib 3, C++; ``--library`` names its shared library
  where the package is not installed.

The contenders take turns, so that a busy moment of the machine affects all of them; the fastest calls are reported.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ppocore import gae
from ppocore.advantages import kernel

SHAPES = [(128, 8), (2048, 1), (2048, 64), (32, 4096), (16, 1024), (128, 512), (1_000_000, 1)]
GAMMA, LAM = np.float32(0.99), np.float32(0.95)
Call = Callable[[], object]


def in_numpy(*arguments):
    """Call ``gae`` as if Numba were not installed."""
    loaded, kernel._kernels = kernel._kernels, {"f": None}
    try:
        return gae(*arguments)
    finally:
        kernel._kernels = loaded


def loop(rewards, values, next_values, terminated, truncated):
    """Compute everything inside the loop, in float32."""
    advantages, last = np.zeros_like(rewards), np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + GAMMA * next_values[t] * ~terminated[t] - values[t]
        last = delta + GAMMA * LAM * ~(terminated[t] | truncated[t]) * last
        advantages[t] = last
    return advantages, advantages + values


def hoisted(rewards, values, next_values, terminated, truncated):
    """Compute only the recursion inside the loop, in float32."""
    advantages, last = np.zeros_like(rewards), np.zeros_like(rewards[0])
    delta = rewards + GAMMA * next_values * ~terminated - values
    keep = GAMMA * LAM * ~(terminated | truncated)
    for t in reversed(range(len(rewards))):
        advantages[t] = last = delta[t] + keep[t] * last
    return advantages, advantages + values


def copy(rewards, values, next_values, terminated, truncated):
    """Read and write as many bytes as GAE has to."""
    for array in (next_values, terminated, truncated):
        array.copy()
    return rewards.copy(), values.copy()


def tianshou(rewards, values, next_values, terminated, truncated) -> Call:
    """Return a call of Tianshou's function, which wants one long array and 0 as the value after a termination."""
    from tianshou.algorithm.algorithm_base import _gae

    ended = terminated | truncated
    ended[-1] = True
    following = np.where(terminated, np.float32(0.0), next_values)
    flat = [np.ascontiguousarray(a.T).ravel() for a in (values, following, rewards, ended)]
    return lambda: _gae(*flat, 0.99, 0.95)


def puffer2(rewards, values, next_values, terminated, truncated) -> Call:
    """Return a call of PufferLib 2's function; it takes rewards and flags of one row later."""
    from c_gae import compute_gae

    ended = (terminated | truncated).astype(np.float32)
    flat = [np.ascontiguousarray(a.T).ravel() for a in (ended, values, rewards)]
    return lambda: compute_gae(*flat, 0.99, 0.95)


def puffer3(rewards, values, next_values, terminated, truncated) -> Call:
    """Return a call of PufferLib 3's operation on (N, T) tensors, with importance 1."""
    import torch

    if not hasattr(torch.ops.pufferlib, "compute_puff_advantage"):
        import pufferlib._C  # noqa: F401  # registers it
    ended = (terminated | truncated).astype(np.float32)
    rows = [torch.from_numpy(np.ascontiguousarray(a.T)) for a in (values, rewards, ended)]
    ones, compute = torch.ones_like(rows[0]), torch.ops.pufferlib.compute_puff_advantage
    return lambda: compute(*rows, ones, torch.zeros_like(ones), 0.99, 0.95, 1.0, 1.0)


PEERS = (tianshou, puffer2, puffer3)


def rollout(length: int, columns: int) -> list[np.ndarray]:
    """Return float32 arrays, and flags that end an episode about every 50 steps."""
    rng = np.random.default_rng(0)
    numbers = [rng.standard_normal((length, columns), np.float32) for _ in range(3)]
    return numbers + [rng.random((length, columns)) < 0.01 for _ in range(2)]


def fastest(contenders: dict[str, Call], budget: float) -> dict[str, float]:
    """Return the shortest time of a call, each contender called in turn, a millisecond long, for ``budget`` seconds.

    One that takes a hundredth of it, or more, is called three times.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    stop = time.perf_counter() + budget
    while time.perf_counter() < stop or len(taken["gae"]) < 5:
        for name, call in contenders.items():
            if len(taken[name]) >= 3 and min(taken[name]) > budget / 100:  # a loop over a million rows
                continue
            calls = max(1, min(200, int(1e-3 / min(taken[name], default=1.0))))
            start = time.perf_counter()
            for _ in range(calls):
                call()
            taken[name].append((time.perf_counter() - start) / calls)
    return {name: min(times) for name, times in taken.items()}


def contenders_on(arguments: list[np.ndarray], peers: list[Any]) -> dict[str, Call]:
    """Return every contender's call, our own compared with each other and with the loop."""
    calls: dict[str, Call] = {
        "gae": lambda: gae(*arguments),
        "numpy": lambda: in_numpy(*arguments),
        "loop": lambda: loop(*arguments),
        "hoisted": lambda: hoisted(*arguments),
        "copy": lambda: copy(*arguments),
    }
    for exact, same, plain in zip(gae(*arguments), in_numpy(*arguments), loop(*arguments), strict=True):
        assert exact.tobytes() == same.tobytes()
        np.testing.assert_allclose(exact, plain, rtol=1e-3, atol=1e-3)
    return calls | {peer.__name__: peer(*arguments) for peer in peers}


def main() -> None:
    """Print the table, and with ``--json`` one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for each shape (2)")
    parser.add_argument("--library", help="PufferLib 3's compiled operations, a shared library")
    options = parser.parse_args()
    if options.library:
        import torch

        torch.ops.load_library(options.library)

    peers = []
    for peer in PEERS:
        try:
            peer(*rollout(4, 2))()
            peers.append(peer)
        except (ImportError, OSError) as error:
            print(f"{peer.__name__} is not installed here: {error}")
    print("gae with Numba" if kernel.kernel_for("f") else "gae without Numba, which is not installed")
    results = []
    for shape in SHAPES:
        us = {k: 1e6 * s for k, s in fastest(contenders_on(rollout(*shape), peers), options.seconds).items()}
        ratios = {"loop/numpy": us["loop"] / us["numpy"]}
        if peers:
            ratios["peer/gae"] = min(us[peer.__name__] for peer in peers) / us["gae"]
        if not results:
            print(f"{'microseconds':>14}", *(f"{name:>10}" for name in us), *(f"{name:>11}" for name in ratios))
        print(f"{shape!s:>14}", *(f"{t:10.1f}" for t in us.values()), *(f"{x:11.2f}" for x in ratios.values()))
        results.append({"shape": shape, **{f"{name}_us": value for name, value in us.items()}})
    if options.json:
        print(json.dumps({"numpy": np.__version__, "python": platform.python_version(), "results": results}))


if __name__ == "__main__":
    main()
