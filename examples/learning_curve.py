"""Train a few seeds and draw their learning curves, as in the README.

pip install matplotlib
python examples/learning_curve.py --out docs/cartpole.png
"""

from __future__ import annotations

import argparse

import matplotlib.pyplot as plt

from ppocore import train
from ppocore.presets import preset


def main() -> None:
    """Draw one line per seed: the mean return of the last 100 training episodes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="CartPole-v1")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, help="environment steps (the preset's)")
    parser.add_argument("--out", default="learning_curve.png")
    options = parser.parse_args()
    config = preset(options.env)
    if options.steps:
        config = config.replace(total_steps=options.steps)
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for seed in options.seeds:
        history = train(options.env, config, backend=options.backend, seed=seed).history
        rows = [m for m in history if m["mean_return"] is not None]
        axes.plot([m["steps"] for m in rows], [m["mean_return"] for m in rows], linewidth=1.2, label=f"seed {seed}")
    axes.set_xlabel("environment steps")
    axes.set_ylabel("return (last 100 episodes)")
    axes.set_title(f"{options.env}, {options.backend} backend, preset settings")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    figure.savefig(options.out, dpi=150)


if __name__ == "__main__":
    main()
