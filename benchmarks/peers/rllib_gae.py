"""Adapt RLlib (Ray).

Read: ``compute_value_targets`` (rllib/utils/postprocessing/value_predictions.py), which is called here as
``GeneralAdvantageEstimation`` (rllib/connectors/learner/general_advantage_estimation.py) does, on the output of
``AddOneTsToEpisodesAndTruncate`` (beside it) for the episodes.

- Each episode, or piece of one, is followed by one more row, with reward 0 and the value of its final observation; a
  piece that is cut by the end of the rollout counts as truncated. The added rows are masked out later, and removed
  here.
- ``terminated`` stops the bootstrap, ``terminated`` or ``truncated`` the sum.
- The function returns the targets; the connector subtracts the values and standardizes the advantages over the batch.
  The standardization is left out here.
- The targets are float32, like its critics' values; so they are here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

NAME = "RLlib"
PACKAGE = "ray"
CONVENTIONS = {
    "truncation": "each piece of an episode has one more row, with the value of the final observation",
    "end of the rollout": "as a truncation",
    "advantages": "targets minus values, before the connector standardizes them over the batch",
    "dtype": "float32, the dtype of the targets",
}


def gae(
    rewards: Any, values: Any, next_values: Any, terminated: Any, truncated: Any, gamma: float, lam: float
) -> tuple[Any, Any]:
    """Compute the targets of each column's episodes one after the other, minus the values."""
    targets = np.empty(rewards.shape, np.float32)
    ended = terminated | truncated
    ended[-1] = True
    for i in range(rewards.shape[1]):
        ends = np.flatnonzero(ended[:, i])
        # Rows are inserted behind these, in an order that `insert` keeps.
        behind = ends + 1
        stop = terminated[:, i].astype(np.float32)
        cut = np.where(terminated[:, i], 0.0, ended[:, i]).astype(np.float32)
        found = compute_value_targets(
            values=np.insert(values[:, i], behind, next_values[ends, i]).astype(np.float32),
            rewards=np.insert(rewards[:, i], behind, 0).astype(np.float32),
            terminateds=np.insert(stop, behind, 0.0),
            truncateds=np.insert(cut, behind, 0.0),
            gamma=gamma,
            lambda_=lam,
        )
        targets[:, i] = np.delete(found, behind + np.arange(len(ends)))
    return targets - values.astype(np.float32), targets


VARIANTS = {"as trained": gae}
