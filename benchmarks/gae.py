"""Time ``ppocore.gae``, the usual loops, and a copy of the same bytes.

    python benchmarks/gae.py [--json]

Every contender takes the same float32 arrays and bool flags, and returns advantages and returns in float32. ``gae``
checks its arguments and computes in float64; the loops do neither.

- loop: everything inside ``for t in reversed(range(T))``, vectorized over N, like most scripts.
- hoisted: delta and the masks computed for all rows at once, only the recursion in the loop.
- copy: one pass over each argument and each result, a lower limit for every implementation.

The contenders take turns, so that a busy moment of the machine affects all of them; the medians are reported.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from ppocore import gae

SHAPES = [(128, 8), (2048, 1), (2048, 64), (32, 4096), (1_000_000, 1)]
GAMMA, LAM = np.float32(0.99), np.float32(0.95)


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


def rollout(length: int, columns: int) -> list[np.ndarray]:
    """Return float32 arrays, and flags that end an episode about every 50 steps."""
    rng = np.random.default_rng(0)
    numbers = [rng.standard_normal((length, columns), np.float32) for _ in range(3)]
    return numbers + [rng.random((length, columns)) < 0.01 for _ in range(2)]


def medians(
    contenders: dict[str, Callable[..., object]], arguments: list[np.ndarray], budget: float
) -> dict[str, float]:
    """Return the median seconds of each contender, called in turn for ``budget`` seconds and at least three times."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    stop = time.perf_counter() + budget
    while time.perf_counter() < stop or len(taken["gae"]) < 3:
        for name, function in contenders.items():
            start = time.perf_counter()
            function(*arguments)
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    """Print the table, and with ``--json`` one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for each shape (2)")
    options = parser.parse_args()

    contenders = {"gae": gae, "loop": loop, "hoisted": hoisted, "copy": copy}
    columns = ("gae ms", "loop ms", "hoisted ms", "copy ms", "loop/gae", "hoisted/gae")
    print(f"{'shape':>14}", *(f"{column:>11}" for column in columns))
    results = []
    for shape in SHAPES:
        arguments = rollout(*shape)
        for exact, plain in zip(gae(*arguments), loop(*arguments), strict=True):
            np.testing.assert_allclose(exact, plain, rtol=1e-3, atol=1e-3)
        ms = {name: 1e3 * seconds for name, seconds in medians(contenders, arguments, options.seconds).items()}
        ratios = (ms["loop"] / ms["gae"], ms["hoisted"] / ms["gae"])
        print(f"{shape!s:>14}", *(f"{m:11.3f}" for m in ms.values()), *(f"{ratio:11.1f}" for ratio in ratios))
        results.append({"shape": shape, **{f"{name}_ms": value for name, value in ms.items()}})
    if options.json:
        print(json.dumps({"numpy": np.__version__, "python": platform.python_version(), "results": results}))


if __name__ == "__main__":
    main()
