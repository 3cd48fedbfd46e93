"""What each command of the command line does with its arguments; returns the exit status."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Any

from ppocore.config import PPOConfig
from ppocore.errors import UsageError

if TYPE_CHECKING:
    from ppocore.training.result import TrainResult

DONE, FAILED = 0, 1


def train(options: argparse.Namespace) -> int:
    """``ppocore train``."""
    from ppocore.api import train as run
    from ppocore.presets import preset_changes
    from ppocore.reporting.console import ConsoleReporter
    from ppocore.runs.checkpoints import Saving
    from ppocore.runs.directory import RunDirectory

    saving = Saving()
    names = {f.name for f in dataclasses.fields(PPOConfig)}
    given = {name: value for name, value in vars(options).items() if name in names}
    changes = preset_changes(options.env)
    try:
        config = PPOConfig(**{**changes, **given})
    except TypeError as error:
        raise UsageError(str(error)) from error
    run_dir = options.run_dir or RunDirectory.unused("runs", f"{options.env}-{options.backend}-s{options.seed}")
    if not options.quiet:
        _show_settings(options.env, changes, given)
    result = run(
        options.env,
        config,
        backend=options.backend,
        device=options.device,
        seed=options.seed,
        run_dir=run_dir,
        checkpoint_every=saving.every if options.checkpoint_every is None else options.checkpoint_every,
        keep=saving.keep if options.keep is None else options.keep,
        evaluate_episodes=options.evaluate_episodes,
        reporters=[] if options.quiet else [ConsoleReporter()],
    )
    return _outcome(options, result)


def resume(options: argparse.Namespace) -> int:
    """``ppocore resume``."""
    from ppocore.api import resume as go_on
    from ppocore.reporting.console import ConsoleReporter

    result = go_on(
        options.path,
        backend=options.backend,
        device=options.device,
        steps=options.total_steps,
        env=options.env,
        restart_episodes=options.restart_episodes,
        checkpoint_every=options.checkpoint_every,
        keep=options.keep,
        reporters=[] if options.quiet else [ConsoleReporter()],
    )
    return _outcome(options, result)


def _outcome(options: argparse.Namespace, result: TrainResult) -> int:
    """What a run that was begun or gone on with came to."""
    if options.json:
        print(json.dumps(result.summary()))
    elif options.quiet:
        print(result.fingerprint)
    if result.interrupted:
        print(
            f"ppocore {options.command}: interrupted after {result.steps} steps: the run is saved; go on with: "
            f"ppocore resume {result.run_dir}",
            file=sys.stderr,
        )
        return FAILED
    return DONE


def replay(options: argparse.Namespace) -> int:
    """``ppocore replay``."""
    from ppocore.runs.replay import Bundle, replay_lines
    from ppocore.runs.replay import replay as make_again

    bundle = Bundle.read(options.path)
    outcome = make_again(bundle)
    if options.json:
        first = outcome.first
        print(
            json.dumps(
                {
                    "update": bundle.update,
                    "reproduced": outcome.error is not None,
                    "error": outcome.error,
                    "first": None if first is None else first.name,
                    "at": None if first is None else first.first,
                }
            )
        )
    else:
        print("\n".join(replay_lines(bundle, outcome)))
    return DONE


def export(options: argparse.Namespace) -> int:
    """``ppocore export``."""
    from ppocore.export.onnx import export_onnx
    from ppocore.policy import Policy

    export_onnx(Policy.load(options.path), options.onnx, with_mask=options.mask)
    print(f"policy of {options.path} written to {options.onnx}, and found equal on random observations")
    return DONE


def _show_settings(env: str, changes: dict[str, Any], given: dict[str, Any]) -> None:
    """The preset that was picked, and what the command line changed of it."""
    options = {name: f"--{name.replace('_', '-')}" for name in {**changes, **given}}
    if changes:
        listed = ", ".join(f"{name}={value}" for name, value in changes.items() if name not in given)
        print(f"preset for {env}: {listed or 'all of it overridden'}", file=sys.stderr)
    if given:
        listed = ", ".join(f"{options[name]} {value}" for name, value in given.items())
        print(f"from the command line: {listed}", file=sys.stderr)


def evaluate(options: argparse.Namespace) -> int:
    """``ppocore evaluate``."""
    from ppocore.evaluation import evaluate as run_policy
    from ppocore.policy import Policy
    from ppocore.runs.directory import environment_of

    policy = Policy.load(options.path)
    env = options.env or environment_of(options.path)
    result = run_policy(
        policy, env, episodes=options.episodes, seed=options.seed, deterministic=not options.stochastic
    ).summary()
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['env']}: mean return {result['mean_return']:.2f} +- {result['std_return']:.2f} over "
            f"{result['episodes']} episodes (from {result['min_return']:.2f} to {result['max_return']:.2f})"
        )
    return DONE


def compare(options: argparse.Namespace) -> int:
    """``ppocore compare``."""
    from ppocore.runs.compare import compare as hold_against

    comparison = hold_against(options.paths)
    print(json.dumps(comparison.summary()) if options.json else "\n".join(comparison.lines()))
    return DONE if comparison.equal else FAILED


def check_backend(options: argparse.Namespace) -> int:
    """``ppocore check-backend``."""
    from ppocore.testing.backends.command import check_backend_command

    passed = check_backend_command(options.name, examples=options.examples, device=options.device, as_json=options.json)
    return DONE if passed else FAILED


def check_gae(options: argparse.Namespace) -> int:
    """``ppocore check-gae``."""
    from ppocore.testing.gae.command import check_gae_command

    passed = check_gae_command(
        options.target,
        signature=options.signature,
        arrays=options.arrays,
        truncation=options.truncation,
        examples=options.examples,
        seed=options.seed,
        as_json=options.json,
    )
    return DONE if passed else FAILED


def backends(options: argparse.Namespace) -> int:
    """``ppocore backends``."""
    from ppocore.registry import available_backends

    backends = available_backends()
    if options.json:
        print(json.dumps({name: {"available": hint is None, "install": hint} for name, hint in backends.items()}))
    else:
        for name, hint in backends.items():
            print(f"{name:<10} {hint or 'available'}")
    return DONE
