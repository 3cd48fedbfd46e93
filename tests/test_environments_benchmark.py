"""benchmarks/environments.py says of every environment what happened to it, and docs/environments.md is its table."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks" / "environments.py"
PAGE = ROOT / "docs" / "environments.md"

GYMNASIUM = """
[[group]]
package = "gymnasium"
ids = ["CartPole-v1", "Pendulum-v1"]

[[group]]
package = "gymnasium"
ids = ["FrozenLake-v1"]
kwargs = { is_slippery = false }
note = "is_slippery=False"
"""

ODD = """
[[group]]
package = "gymnasium"
module = "odd_ones"
ids = ["Unseeded-v0", "Raising-v0", "Missing-v0"]
"""

HANGING = """
[[group]]
package = "gymnasium"
module = "odd_ones"
ids = ["Hanging-v0"]
"""

ODD_ENVIRONMENTS = """
import time

import gymnasium as gym
import numpy as np


class Unseeded(gym.Env):
    observation_space, action_space = gym.spaces.Box(-np.inf, np.inf, (2,)), gym.spaces.Discrete(2)

    def __init__(self):
        self.random = np.random.default_rng()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.random.normal(size=2).astype(np.float32), {}

    def step(self, action):
        return self.random.normal(size=2).astype(np.float32), 0.0, False, False, {}


class Raising(Unseeded):
    def step(self, action):
        raise RuntimeError("the simulator fell over")


class Hanging(Unseeded):
    def step(self, action):
        time.sleep(3600)


gym.register("Unseeded-v0", Unseeded)
gym.register("Raising-v0", Raising)
gym.register("Hanging-v0", Hanging)
"""


def run(folder, data, *arguments):
    """Run the script on a data file; return the rows by id, and what it printed."""
    (folder / "some.toml").write_text(data)
    path = os.pathsep.join(filter(None, [str(ROOT), str(folder), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, SCRIPT, "--data", "some.toml", "--results", "rows.jsonl", "--json", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {row["id"]: row for row in json.loads(done.stdout.splitlines()[-1])["environments"]}, done


@pytest.mark.slow
@pytest.mark.posix
def test_gymnasiums_own_environments_resume_to_the_same_fingerprint(tmp_path):
    rows, done = run(tmp_path, GYMNASIUM)
    assert [*rows] == ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1"]
    for row in rows.values():
        assert (row["trained"], row["problem"], row["resumed"], row["async"]) == (True, "", "yes", "yes"), row
    assert rows["CartPole-v1"]["observation"] == "Box 4 float32"
    assert rows["CartPole-v1"]["action"] == "Discrete 2"
    assert rows["Pendulum-v1"]["evaluated"] == "200 steps"
    assert "**3 of 1 packages resumed to the same fingerprint**" in done.stdout

    before = (tmp_path / "rows.jsonl").read_text()
    again, done = run(tmp_path, GYMNASIUM)
    assert (again, done.stderr) == (rows, "")
    assert (tmp_path / "rows.jsonl").read_text() == before, "what has a result is not measured again"


@pytest.mark.slow
@pytest.mark.posix
def test_an_environment_that_cannot_be_trained_or_resumed_gets_its_reason(tmp_path):
    (tmp_path / "odd_ones.py").write_text(ODD_ENVIRONMENTS)
    rows, done = run(tmp_path, ODD)
    unseeded = rows["Unseeded-v0"]
    assert unseeded["trained"]
    assert "replaying its actions from its seed leads to another observation" in unseeded["resumed"]
    assert unseeded["repeated"] == "no"
    assert "the simulator fell over" in rows["Raising-v0"]["problem"]
    assert "UsageError: there is no environment 'odd_ones:Missing-v0'" in rows["Missing-v0"]["problem"]
    assert [rows[name]["trained"] for name in ("Raising-v0", "Missing-v0")] == [False, False]
    assert "1. `Unseeded-v0`: UsageError: " in done.stdout
    assert "| gymnasium | `Raising-v0` |  | Box 2 float32 | Discrete 2 | no (2) |  |  |" in done.stdout


@pytest.mark.slow
@pytest.mark.posix
def test_an_environment_that_hangs_is_ended(tmp_path):
    (tmp_path / "odd_ones.py").write_text(ODD_ENVIRONMENTS)
    rows, _ = run(tmp_path, HANGING, "--seconds", "4")  # true also where the machine needs that long to import
    assert (rows["Hanging-v0"]["trained"], rows["Hanging-v0"]["problem"]) == (False, "not done after 4 s")


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield __import__("environment_table")
    sys.modules.pop("environment_table", None)


def test_the_table_replaces_what_is_between_the_markers(table, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"above\n\n{table.BEGIN}\n\nold\n\n{table.END}\n\nbelow\n")
    row = {"package": "p", "version": "1", "id": "A-v0", "with": "", "trained": True, "problem": ""}
    row |= {"observation": "Discrete 2", "action": "Discrete 3", "resumed": "yes", "async": "", "evaluated": "9 steps"}
    table.write([row], page)
    text = page.read_text()
    assert text.startswith(f"above\n\n{table.BEGIN}\n\n1 environments of 1 packages; 1 trained;")
    assert text.endswith(f"| p | `A-v0` |  | Discrete 2 | Discrete 3 | yes | yes |  |\n\n{table.END}\n\nbelow\n")
    page.write_text("no markers")
    with pytest.raises(ValueError, match="does not have the markers"):
        table.write([row], page)


def test_the_summary_of_the_page_counts_its_rows(table):
    """At least 150 environments of at least 15 packages, the four that people ask for among them."""
    measured = PAGE.read_text().split(table.BEGIN)[1].split(table.END)[0]
    rows = re.findall(r"^\| ([\w-]+) \| `[^`]+` \|(?:[^|]*\|){3} (yes|no)[^|]*\| (yes|no|)", measured, re.MULTILINE)
    same = [package for package, _, resumed in rows if resumed == "yes"]
    summary = re.search(
        r"(\d+) environments of (\d+) packages; (\d+) trained; \*\*(\d+) of (\d+) packages", measured
    ).groups()
    trained = [package for package, trained, _ in rows if trained == "yes"]
    counted = [len(rows), len({row[0] for row in rows}), len(trained), len(same), len(set(same))]
    assert [*map(int, summary)] == counted
    assert len(same) >= 150
    assert len(set(same)) >= 15
    assert {"envpool", "minigrid", "mo-gymnasium", "supersuit"} <= set(same)
