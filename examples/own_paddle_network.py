"""Train a network of your own, written in PaddlePaddle: ``python examples/own_paddle_network.py --steps 50000``.

The network maps observations (B, 4) to the parameters of the action distribution, which for CartPole's two actions are
logits (B, 2), and to values (B,). Everything else is the same as with the built-in networks.
"""

from __future__ import annotations

import argparse

import paddle
from paddle import nn

from ppocore import train
from ppocore.backends.paddle_backend import PaddleBackend
from ppocore.evaluation import evaluate
from ppocore.presets import preset
from ppocore.reporting.console import ConsoleReporter


class Network(nn.Layer):
    """Share one normalized layer between the policy and the value function."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(4, 64), nn.LayerNorm(64), nn.GELU())
        self.policy = nn.Linear(64, 2)
        self.value = nn.Linear(64, 1)

    def forward(self, observations: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Return logits (B, 2) and values (B,)."""
        features = self.features(observations)
        return self.policy(features), self.value(features).squeeze(1)


def main() -> None:
    """Train, then evaluate the policy with deterministic actions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    paddle.seed(options.seed)  # ppocore does not seed the initial weights of your own network
    result = train(
        "CartPole-v1",
        preset("CartPole-v1").replace(total_steps=options.steps),
        backend=PaddleBackend(network=Network()),
        seed=options.seed,
        reporters=[ConsoleReporter()],
    )
    returns = evaluate(result.policy, "CartPole-v1", episodes=20).episode_returns
    print(f"mean return over {len(returns)} episodes: {sum(returns) / len(returns):.1f}")


if __name__ == "__main__":
    main()
