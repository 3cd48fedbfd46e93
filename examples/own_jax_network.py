"""Train a network of your own, written in JAX: ``python examples/own_jax_network.py --steps 50000``.

The network is a pure function of its parameters, any pytree, and of observations (B, 4); it gives the parameters of the
distribution over actions, for CartPole's two actions logits (B, 2), and values (B,). Everything else of the run is as
for the built-in networks.
"""

from __future__ import annotations

import argparse
from typing import Any

import jax
from jax import numpy as jnp

from ppocore import train
from ppocore.backends.jax_backend import JaxBackend
from ppocore.evaluation import evaluate
from ppocore.presets import preset
from ppocore.reporting.console import ConsoleReporter


def parameters(seed: int) -> dict[str, Any]:
    """One layer that the policy and the value share, and one for each of them."""
    sizes = {"features": (4, 64), "policy": (64, 2), "value": (64, 1)}
    keys = jax.random.split(jax.random.key(seed), len(sizes))
    return {
        name: {"weight": jax.random.normal(key, size) / size[0] ** 0.5, "bias": jnp.zeros(size[1])}
        for key, (name, size) in zip(keys, sizes.items(), strict=True)
    }


def network(parameters: dict[str, Any], observations: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Logits (B, 2) and values (B,)."""

    def linear(name: str, x: jax.Array) -> jax.Array:
        return x @ parameters[name]["weight"] + parameters[name]["bias"]

    features = jax.nn.gelu(linear("features", observations))
    return linear("policy", features), linear("value", features)[:, 0]


def main() -> None:
    """Train, then run the policy without exploration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    result = train(
        "CartPole-v1",
        preset("CartPole-v1").replace(total_steps=options.steps),
        backend=JaxBackend(network=network, parameters=parameters(options.seed)),
        seed=options.seed,
        reporters=[ConsoleReporter()],
    )
    returns = evaluate(result.policy, "CartPole-v1", episodes=20).episode_returns
    print(f"mean return over {len(returns)} episodes: {sum(returns) / len(returns):.1f}")


if __name__ == "__main__":
    main()
