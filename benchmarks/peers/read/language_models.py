"""Token-level advantages of libraries that train language models: a row is a response."""

from __future__ import annotations

from typing import Any

import torch

from ..independent import Expected
from .entry import read

GARBAGE = 1e3
"""What stands in the padding where the function itself masks it."""
WHITENED = Expected(normalized=1)


def _whiten(numbers: Any, mask: Any, *, unbiased: bool) -> Any:
    """Standardize by the mean and variance of the tokens under the mask."""
    count = mask.sum()
    mean = (numbers * mask).sum() / count
    variance = ((numbers - mean) ** 2 * mask).sum() / count
    if unbiased:
        variance = variance * count / (count - 1)
    return (numbers - mean) * torch.rsqrt(variance + 1e-8)


def _backwards(values: Any, rewards: Any, gamma: float, lam: float) -> Any:
    """Compute (B, S) advantages with nothing after the last column."""
    found, carried = [], 0
    width = rewards.shape[1]
    for t in range(width - 1, -1, -1):
        successor = values[:, t + 1] if t < width - 1 else 0.0
        carried = rewards[:, t] + gamma * successor - values[:, t] + gamma * lam * carried
        found.append(carried)
    return torch.stack(found[::-1], dim=1)


@read(
    "verl",
    "verl 0.9.1, verl/trainer/ppo/core_algos.py (compute_gae_advantage_return)",
    framework="torch",
    call=lambda f, s: s.tokens(lambda r, v, m: f(r, v, m, s.gamma, s.lam), padding=GARBAGE),
    expected=WHITENED,
    limits={"fewest": 3},
    note="a token outside the mask is skipped, in the middle, too; advantages whitened over the mask, with the "
    "unbiased variance",
)
def verl(token_level_rewards: Any, values: Any, response_mask: Any, gamma: float, lam: float) -> tuple[Any, Any]:
    """Carry value and advantage past masked tokens."""
    successor, carried = 0, 0
    found = []
    for t in range(token_level_rewards.shape[-1] - 1, -1, -1):
        kept = response_mask[:, t]
        fresh = token_level_rewards[:, t] + gamma * successor - values[:, t] + gamma * lam * carried
        successor = values[:, t] * kept + (1 - kept) * successor
        carried = fresh * kept + (1 - kept) * carried
        found.append(carried)
    advantages = torch.stack(found[::-1], dim=1)
    return _whiten(advantages, response_mask, unbiased=True), advantages + values


@read(
    "OpenRLHF",
    "openrlhf 0.11.2, openrlhf/trainer/ppo_utils/experience_maker.py (get_advantages_and_returns)",
    framework="torch",
    call=lambda f, s: s.tokens(lambda r, v, m: f(v, r, m, s.gamma, s.lam), padding=GARBAGE),
    note="masks values and rewards first; the caller whitens",
)
def openrlhf(values: Any, rewards: Any, action_mask: Any, gamma: float, lambd: float) -> tuple[Any, Any]:
    """Compute (B, S) advantages and returns of masked numbers."""
    values, rewards = action_mask * values, action_mask * rewards
    advantages = _backwards(values, rewards, gamma, lambd)
    return advantages, advantages + values


@read(
    "trlX",
    "CarperAI/trlx, trlx/models/modeling_ppo.py (get_advantages_and_returns), commit 0021f2f",
    framework="torch",
    call=lambda f, s: s.tokens(lambda r, v, m: f(v, r, r.shape[1], s.gamma, s.lam), padding=0.0),
    note="no mask: the caller pads with zeros; called with use_whitening=False here",
    own=lambda testing, f: testing.adapt(
        lambda v, r, *given: f(v, r, r.shape[1], *given), "values rewards gamma lam", layout="tokens"
    ),
)
def trlx(values: Any, rewards: Any, response_length: int, gamma: float, lam: float) -> tuple[Any, Any]:
    """Compute (B, S) advantages and returns of the first columns."""
    advantages = _backwards(values[:, :response_length], rewards[:, :response_length], gamma, lam)
    return advantages, advantages + values


@read(
    "DeepSpeed-Chat",
    "microsoft/DeepSpeedExamples, applications/DeepSpeed-Chat/dschat/rlhf/ppo_trainer.py, commit 3b45859",
    framework="torch",
    call=lambda f, s: s.tokens(lambda r, v, m: f(_prompted(v), _prompted(r), 2, s.gamma, s.lam), padding=0.0),
    note="the first columns are the prompt and are left out; the caller sets what follows a response to 0",
    own=None,
)
def deepspeed_chat(values: Any, rewards: Any, start: int, gamma: float, lam: float) -> tuple[Any, Any]:
    """Compute the advantages and returns from a column on."""
    advantages = _backwards(values[:, start:], rewards[:, start:], gamma, lam)
    return advantages, advantages + values[:, start:]


def _prompted(numbers: Any) -> Any:
    """Put two columns of a prompt before the response."""
    return torch.cat([torch.full_like(numbers[:, :1], 7.0), torch.full_like(numbers[:, :1], -3.0), numbers], dim=1)


@read(
    "NeMo-Aligner",
    "nemo-aligner 0.7.0, nemo_aligner/utils/ppo_utils.py (calculate_advantages_and_returns)",
    framework="torch",
    call=lambda f, s: s.tokens(lambda r, v, m: f(v, r, s.gamma, s.lam, m), padding=GARBAGE),
    note="masks values and rewards first; the mask is one of numbers",
    own=lambda testing, f: testing.adapt(f, "values rewards gamma lam mask", layout="tokens", flags="float"),
)
def nemo_aligner(values: Any, rewards: Any, discount_factor: float, gae_lambda: float, mask: Any) -> tuple[Any, Any]:
    """Compute (B, S) advantages and returns into a tensor like the rewards."""
    values, rewards = values * mask, rewards * mask
    result = torch.zeros_like(rewards)
    result[:] = _backwards(values, rewards, discount_factor, gae_lambda)
    return result, result + values


@read(
    "TRL, PPOTrainer",
    "trl 0.11.4, trl/trainer/ppo_trainer.py (compute_advantages)",
    framework="torch",
    call=lambda f, s: s.tokens(lambda r, v, m: f(v, r, m, s.gamma, s.lam)[1:], padding=GARBAGE),
    expected=WHITENED,
    limits={"fewest": 3},
    note="masks values and rewards first; whitens with the unbiased variance; three results",
    own=lambda testing, f: testing.adapt(
        lambda *given: f(*given)[1:], "values rewards mask gamma lam", layout="tokens"
    ),
)
def trl(values: Any, rewards: Any, mask: Any, gamma: float, lam: float) -> tuple[Any, Any, Any]:
    """Compute the masked values, the whitened advantages and the returns."""
    values, rewards = values * mask, rewards * mask
    advantages = _backwards(values, rewards, gamma, lam)
    return values, _whiten(advantages, mask, unbiased=True), advantages + values


@read(
    "AReaL",
    "areal 1.0.4, areal/trainer/ppo/actor.py (compute_advantages)",
    framework="torch",
    call=lambda f, s: s.tokens(lambda r, v, m: _areal(f, r, v, m, s.gamma, s.lam), padding=GARBAGE),
    note="one column more than actions; tokens outside the mask are skipped; a row that fills the width without an end "
    "token is bootstrapped, which is not used here",
    own=None,
)
def areal(rewards: Any, values: Any, loss_mask: Any, no_eos: Any, discount: float, gae_lambda: float) -> Any:
    """Compute (B, S) advantages and returns, with 0 in the last column."""
    width = rewards.shape[1]
    found = [torch.zeros(len(rewards), dtype=torch.float32)]
    carried: Any = 0
    successor = values[:, width - 1] * no_eos
    for t in range(width - 2, -1, -1):
        kept = loss_mask[:, t]
        fresh = rewards[:, t] + discount * successor - values[:, t] + discount * gae_lambda * carried
        successor = successor * (1 - kept) + values[:, t] * kept
        carried = carried * (1 - kept) + fresh * kept
        found.append(carried)
    advantages = torch.stack(found[::-1], dim=1)
    return advantages, advantages + values


def _areal(f: Any, r: Any, v: Any, m: Any, gamma: float, lam: float) -> Any:
    """Add the column that holds no action."""
    longer = [
        torch.cat([array, torch.full_like(array[:, :1], last)], dim=1) for array, last in ((r, 0), (v, 5), (m, 0))
    ]
    return tuple(part[:, :-1] for part in f(*longer, torch.zeros(len(r)), gamma, lam))


@read(
    "AgileRL, LLM PPO (token level)",
    "agilerl 2.58.0, agilerl/algorithms/ppo_llm.py (_compute_gae_returns_token)",
    framework="torch",
    call=lambda f, s: s.tokens(lambda r, v, m: f(r, v, m, s.gamma, s.lam), padding=GARBAGE),
    gives=("returns", "advantages"),
    note="called with whiten_advantages=False here; a gap in the mask would cut the sum",
)
def agilerl_tokens(rewards: Any, values: Any, action_mask: Any, gamma: float, gae_lambda: float) -> tuple[Any, Any]:
    """Multiply what follows by the mask of the next token."""
    mask = action_mask.float()
    result = torch.zeros_like(values)
    carried = torch.zeros(len(values))
    width = values.shape[1]
    for t in range(width - 1, -1, -1):
        final = t == width - 1
        kept = torch.zeros(len(values)) if final else mask[:, t + 1]
        successor = torch.zeros(len(values)) if final else values[:, t + 1]
        carried = rewards[:, t] + gamma * successor * kept - values[:, t] + gamma * gae_lambda * carried * kept
        result[:, t] = carried * mask[:, t]
    return (result + values) * mask, result * mask
