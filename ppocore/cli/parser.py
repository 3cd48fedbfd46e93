"""Parse the command line: ``ppocore train``, ``resume``, ``evaluate``, ``compare``, ``replay``, ``export`` and more."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from ppocore.cli import commands
from ppocore.cli.commands import FAILED
from ppocore.cli.settings import WRONG_USE, Parser, add_settings, whole_number
from ppocore.config import PPOConfig
from ppocore.errors import RunError, RunWarning, UsageError
from ppocore.files.version import __version__
from ppocore.training import Runtime


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 for success, 1 for a failure or a difference, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    warnings.showwarning = _warning_printer(options.command, warnings.showwarning)
    try:
        status: int = options.run(options)
        return status
    except UsageError as error:
        print(f"ppocore {options.command}: {error}", file=sys.stderr)
        return WRONG_USE
    except RunError as error:
        print(f"ppocore {options.command}: the run failed: {error}", file=sys.stderr)
        return FAILED
    except (SystemExit, Exception) as error:
        saved = getattr(error, "__notes__", [])
        if not saved:  # no run was saved, so that the traceback is the only information
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        print(f"ppocore {options.command}: the run failed: {reason}; {saved[-1]}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"ppocore {options.command}: interrupted", file=sys.stderr)
        return FAILED


def _warning_printer(command: str, otherwise: Any) -> Any:
    """Return a `warnings.showwarning` that prints a `RunWarning` as one line."""

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, RunWarning):
            print(f"ppocore {command}: warning: {message}", file=sys.stderr)
        else:
            otherwise(message, category, *rest, **more)

    return show


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="ppocore", description="Proximal policy optimization (PPO) with interchangeable backends.")
    parser.add_argument("--version", action="version", version=f"ppocore {__version__}")
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = subcommands.add_parser(
        "train",
        help="train a policy",
        description="Train a policy. A setting that is not given has the value of the environment's preset, or the "
        "default in parentheses below if there is no preset.",
    )
    train.add_argument("env", nargs="?", default="CartPole-v1", metavar="ENV", help="environment ID (CartPole-v1)")
    train.add_argument(
        "--backend", default="numpy", metavar="NAME", help="backend, one of those that `ppocore backends` lists (numpy)"
    )
    train.add_argument("--device", default="cpu", metavar="NAME", help="device of the backend: cpu or cuda (cpu)")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all random numbers (0)")
    train.add_argument("--run-dir", metavar="DIR", help="new directory for the run (runs/ENV-BACKEND-sSEED)")
    _add_saving(train)
    train.add_argument(
        "--evaluate-episodes",
        type=int,
        default=0,
        metavar="N",
        help="rank checkpoints by the mean return of N evaluated episodes; 0: of the last 100 training episodes (0)",
    )
    _add_reporting(train)
    _add_json(train)
    add_settings(train.add_argument_group("settings (PPOConfig)"), PPOConfig)
    _add_runtime(train)
    train.set_defaults(run=commands.train)

    resume = subcommands.add_parser(
        "resume",
        help="resume a run",
        description="Resume a run from its newest checkpoint. It ends with the fingerprint of an uninterrupted run. "
        "An option that is not given keeps the value of the run; values in parentheses are the defaults of a new run.",
    )
    resume.add_argument("path", metavar="RUN", help="run directory")
    resume.add_argument(
        "--backend", default=argparse.SUPPRESS, metavar="NAME", help="new backend, one that `ppocore backends` lists"
    )
    resume.add_argument(
        "--device", default=argparse.SUPPRESS, metavar="NAME", help="new device of the backend: cpu or cuda"
    )
    resume.add_argument("--steps", dest="total_steps", type=whole_number, metavar="N", help="new total_steps")
    resume.add_argument(
        "--env", metavar="ENV", help="environment ID of the run; required if it names a module to import (MODULE:ID)"
    )
    resume.add_argument(
        "--restart-episodes",
        action="store_true",
        help="start a new episode in an environment that cannot be restored; the result then differs from that of an "
        "uninterrupted run",
    )
    _add_saving(resume)
    _add_reporting(resume)
    _add_json(resume)
    _add_runtime(resume)
    resume.set_defaults(run=commands.resume)

    evaluate = subcommands.add_parser(
        "evaluate",
        help="evaluate a policy",
        description="Evaluate a trained policy: print the mean return of a number of episodes.",
    )
    evaluate.add_argument("path", metavar="RUN", help="run directory or checkpoint, or a policy file and --env")
    evaluate.add_argument("--episodes", type=int, default=100, metavar="N", help="number of episodes (100)")
    evaluate.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the environments (0)")
    evaluate.add_argument(
        "--stochastic", action="store_true", help="sample actions instead of taking the most probable ones"
    )
    evaluate.add_argument("--env", metavar="ENV", help="environment ID, if not that of the run")
    _add_json(evaluate)
    evaluate.set_defaults(run=commands.evaluate)

    compare = subcommands.add_parser(
        "compare",
        help="compare runs",
        description="Compare runs with the first one, and print the first iteration and the first tensor that differ. "
        "The exit status is 1 if any run differs.",
    )
    compare.add_argument("paths", nargs="+", metavar="RUN", help="two or more run directories")
    _add_json(compare)
    compare.set_defaults(run=commands.compare)

    replay = subcommands.add_parser(
        "replay",
        help="replay a failed update",
        description="Replay, in float64 NumPy, an update that was not finite, and print which arrays are not finite.",
    )
    replay.add_argument(
        "path", metavar="BUNDLE", help="file of the update, non-finite-N.safetensors in the run directory"
    )
    _add_json(replay)
    replay.set_defaults(run=commands.replay)

    export = subcommands.add_parser(
        "export",
        help="export a policy to ONNX",
        description="Export a policy and its observation normalization as an ONNX model, and verify the model against "
        "the policy. Requires onnx and onnxruntime.",
    )
    export.add_argument("path", metavar="RUN", help="run directory, policy file or checkpoint")
    export.add_argument("--onnx", required=True, metavar="FILE", help="path of the model to write")
    export.add_argument("--mask", action="store_true", help="add an input for the mask of allowed actions")
    export.set_defaults(run=commands.export)

    backends = subcommands.add_parser(
        "backends",
        help="list the backends",
        description="List the backends, and how to install those that are not available.",
    )
    _add_json(backends)
    backends.set_defaults(run=commands.backends)

    check_gae = subcommands.add_parser(
        "check-gae",
        help="check an advantage function",
        description="Check any implementation of generalized advantage estimation against its definition, property by "
        "property, and name known mistakes. Requires hypothesis. The exit status is 1 if any property fails.",
    )
    check_gae.add_argument(
        "target", metavar="MODULE:FUNCTION", help="function to check, importable from the current directory"
    )
    signatures = "flags dones dones-before batch-major episodes tokens tokens-left".split()
    check_gae.add_argument(
        "--signature", default="flags", choices=signatures, help="its arguments, see docs/check-your-gae.md (flags)"
    )
    kinds = "numpy torch paddle jax".split()
    check_gae.add_argument("--arrays", default="numpy", choices=kinds, help="its kind of arrays (numpy)")
    check_gae.add_argument(
        "--truncation",
        default="next_values",
        choices=["next_values", "in_rewards"],
        help="how it bootstraps a truncated step: from next_values, or in_rewards if the caller adds the bootstrap to "
        "the reward (next_values)",
    )
    check_gae.add_argument("--examples", type=int, default=50, metavar="N", help="trajectories per property (50)")
    check_gae.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the trajectories (0)")
    _add_json(check_gae)
    check_gae.set_defaults(run=commands.check_gae)

    check = subcommands.add_parser(
        "check-backend",
        help="check a backend against the NumPy backend",
        description="Check a backend against the NumPy backend, property by property. Requires hypothesis. The exit "
        "status is 1 if any property fails.",
    )
    check.add_argument("name", metavar="NAME", help="one that `ppocore backends` lists, or MODULE:CLASS")
    check.add_argument("--examples", type=int, default=50, metavar="N", help="problems per property (50)")
    check.add_argument("--device", default="cpu", metavar="NAME", help="device of the backend: cpu or cuda (cpu)")
    _add_json(check)
    check.set_defaults(run=commands.check_backend)
    return parser


def _add_saving(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint-every",
        type=int,
        metavar="N",
        help="iterations between checkpoints, which are at most a minute apart; 0: none before the end (50)",
    )
    parser.add_argument("--keep", type=int, metavar="N", help="newest checkpoints to keep, besides the best (3)")


def _add_reporting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--report",
        nargs="+",
        metavar="NAME",
        help="reporters, by name; installed packages can add to the built-in one, console (console)",
    )
    parser.add_argument("--quiet", action="store_true", help="print no progress, only the result")


def _add_runtime(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("runtime (how the run is computed, which does not affect its result)")
    add_settings(group, Runtime, leave_out=("backend", "device"))


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print a JSON object as the last line of standard output")
