"""Policy files and checkpoints of earlier versions are read correctly, and written again to the same bytes.

``data/policies/*.safetensors`` were written before spaces became classes, and ``actions.json`` by the policies in them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from ppocore import Policy

FILES = Path(__file__).parent / "data" / "policies"
ACTIONS = json.loads((FILES / "actions.json").read_text())


def structured(observation):
    """An observation in which JSON has an object in place of each tuple."""
    if not isinstance(observation, dict):
        return np.array(observation)
    if set(observation) == {"tuple"}:
        return tuple(structured(part) for part in observation["tuple"])
    return {key: structured(part) for key, part in observation.items()}


@pytest.mark.parametrize("name", ACTIONS)
def test_a_policy_file_acts_as_it_did_and_is_written_to_the_same_bytes(name, tmp_path):
    policy = Policy.load(FILES / f"{name}.safetensors")
    expected = ACTIONS[name]
    for observation, action, sampled in zip(*(expected[key] for key in expected), strict=True):
        observation = structured(observation)
        assert np.array_equal(policy.act(observation), action)
        rng = np.random.default_rng(7)
        assert np.array_equal(policy.act(observation, deterministic=False, rng=rng), sampled)
    policy.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (FILES / f"{name}.safetensors").read_bytes()


@pytest.mark.parametrize("name", ["run", *ACTIONS])
def test_the_spaces_in_a_file_are_written_as_they_were_read(name):
    with safe_open(FILES / f"{name}.safetensors", framework="numpy") as opened:
        written = json.loads(opened.metadata()["ppocore"])
    policy = Policy.load(FILES / f"{name}.safetensors")
    assert policy.adapter.to_dict() == written["action_space"]
    assert policy.mapping.to_dict() == written["observation_space"]
    assert policy.spec.to_dict() == written["network"]
