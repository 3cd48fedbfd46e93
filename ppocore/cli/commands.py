"""Implement the commands of the command line; each returns the exit status."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from ppocore.cli.settings import given
from ppocore.config import PPOConfig
from ppocore.errors import UsageError
from ppocore.training import Runtime

if TYPE_CHECKING:
    from ppocore.reporting import Reporter
    from ppocore.training import TrainResult

DONE, FAILED = 0, 1


def train(options: argparse.Namespace) -> int:
    """Run ``ppocore train``."""
    from ppocore.api import train as run
    from ppocore.presets import preset_changes
    from ppocore.runs import RunDirectory, Saving

    saving = Saving().replace(every=options.checkpoint_every, keep=options.keep)
    chosen = {name: getattr(options, name) for name in vars(PPOConfig()) if hasattr(options, name)}
    changes = preset_changes(options.env)
    reporters = _reporters(options)
    try:
        config = PPOConfig(**{**changes, **chosen})
        runtime = Runtime(**given(options, Runtime))
    except TypeError as error:
        raise UsageError(str(error)) from error
    run_dir = options.run_dir or RunDirectory.unused("runs", f"{options.env}-{options.backend}-s{options.seed}")
    if not options.quiet:
        _show_settings(options.env, changes, chosen)
    result = run(
        options.env,
        config,
        runtime=runtime,
        seed=options.seed,
        run_dir=run_dir,
        checkpoint_every=saving.every,
        keep=saving.keep,
        evaluate_episodes=options.evaluate_episodes,
        reporters=reporters,
    )
    return _outcome(options, result)


def resume(options: argparse.Namespace) -> int:
    """Run ``ppocore resume``."""
    from ppocore.api import resume as resume_run

    result = resume_run(
        options.path,
        runtime=given(options, Runtime),
        steps=options.total_steps,
        env=options.env,
        restart_episodes=options.restart_episodes,
        checkpoint_every=options.checkpoint_every,
        keep=options.keep,
        reporters=_reporters(options),
    )
    return _outcome(options, result)


def _reporters(options: argparse.Namespace) -> list[Reporter]:
    """Create the reporters that the options name, by default the console's."""
    from ppocore.reporting import make_reporters

    if options.quiet and options.report:
        raise UsageError("--quiet and --report contradict each other: leave one of them out")
    return [] if options.quiet else make_reporters(options.report or ["console"])


def _outcome(options: argparse.Namespace, result: TrainResult) -> int:
    """Print the result of a run, and return the exit status."""
    if options.json:
        print(json.dumps(result.summary()))
    elif options.quiet:
        print(result.fingerprint)
    if result.interrupted:
        print(
            f"ppocore {options.command}: interrupted after {result.steps} steps: the run is saved; resume with: "
            f"ppocore resume {result.run_dir}",
            file=sys.stderr,
        )
        return FAILED
    return DONE


def replay(options: argparse.Namespace) -> int:
    """Run ``ppocore replay``."""
    from ppocore.runs import read_bundle, replay_lines
    from ppocore.runs import replay as replay_update

    failed = read_bundle(options.path)
    outcome = replay_update(failed)
    if options.json:
        first = outcome.first
        print(
            json.dumps(
                {
                    "update": failed.update,
                    "reproduced": outcome.error is not None,
                    "error": outcome.error,
                    "first": None if first is None else first.name,
                    "at": None if first is None else first.first,
                }
            )
        )
    else:
        print("\n".join(replay_lines(failed, outcome)))
    return DONE


def export(options: argparse.Namespace) -> int:
    """Run ``ppocore export``."""
    from ppocore.export.onnx import export_onnx
    from ppocore.policy import Policy

    export_onnx(Policy.load(options.path), options.onnx, with_mask=options.mask)
    print(f"policy of {options.path} written to {options.onnx} and verified on random observations")
    return DONE


def _show_settings(env: str, changes: dict[str, Any], given: dict[str, Any]) -> None:
    """Print the settings of the environment's preset and those of the command line."""
    options = {name: f"--{name.replace('_', '-')}" for name in {**changes, **given}}
    if changes:
        listed = ", ".join(f"{name}={value}" for name, value in changes.items() if name not in given)
        print(f"preset for {env}: {listed or 'all settings overridden'}", file=sys.stderr)
    if given:
        listed = ", ".join(f"{options[name]} {value}" for name, value in given.items())
        print(f"from the command line: {listed}", file=sys.stderr)


def evaluate(options: argparse.Namespace) -> int:
    """Run ``ppocore evaluate``."""
    from ppocore.evaluation import evaluate as run_policy
    from ppocore.policy import Policy
    from ppocore.runs import environment_of

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
    """Run ``ppocore compare``."""
    from ppocore.runs import compare as compare_runs

    comparison = compare_runs(options.paths)
    print(json.dumps(comparison.summary()) if options.json else "\n".join(comparison.lines()))
    return DONE if comparison.equal else FAILED


def check_backend(options: argparse.Namespace) -> int:
    """Run ``ppocore check-backend``."""
    from ppocore.testing.backends.command import check_backend_command

    passed = check_backend_command(options.name, examples=options.examples, device=options.device, as_json=options.json)
    return DONE if passed else FAILED


def check_gae(options: argparse.Namespace) -> int:
    """Run ``ppocore check-gae``."""
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
    """Run ``ppocore backends``."""
    from ppocore.registry import available_backends

    backends = available_backends()
    if options.json:
        print(json.dumps({name: {"available": hint is None, "install": hint} for name, hint in backends.items()}))
    else:
        for name, hint in backends.items():
            print(f"{name:<10} {hint or 'available'}")
    return DONE
