"""Helpers that interrupt runs, and compare the files of runs."""

import functools
import json

from ppocore import PPOConfig, train
from ppocore.files import run_files

SMALL = PPOConfig(
    total_steps=12 * 64, num_envs=4, num_steps=16, minibatch_size=32, update_epochs=2, hidden_sizes=(8, 8)
)


class StopAfter:
    """A reporter that interrupts the run, like Ctrl-C, after a given iteration."""

    def __init__(self, iteration, error=KeyboardInterrupt):
        self.last, self.error = iteration, error

    def begin(self, start): ...
    def close(self): ...
    def end(self, result): ...
    def iteration(self, metrics):
        if metrics["iteration"] == self.last:
            raise self.error


def rows(directory):
    """The lines of the metrics, without times."""
    found = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    for row in found:
        del row["seconds"], row["steps_per_second"]
    return found


def contents(directory):
    """The contents of a run that must equal those of an uninterrupted one."""
    best = ["best.safetensors"] if (directory / "best.safetensors").exists() else []
    names = [run_files(directory)[-1].name, "policy.safetensors", *best]
    return rows(directory), {name: (directory / name).read_bytes() for name in names}


@functools.cache
def _whole(folder, env, config, saving):
    train(env, config, seed=5, run_dir=folder / "whole", **dict(saving))
    return contents(folder / "whole")


def whole(folder, env, config, **saving):
    """The contents of the uninterrupted run."""
    return _whole(folder, env, config, tuple(saving.items()))
