"""The command line: ``ppocore train``, ``resume``, ``evaluate``, ``compare``, ``replay``, ``export`` and more."""

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
    """Run a command; the exit status (0 done, 1 a run that failed or runs that part, 2 wrong use)."""
    options = _parser().parse_args(arguments)
    warnings.showwarning = _plainly(options.command, warnings.showwarning)
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
        if not saved:  # not of a run, or nothing was saved: the traceback is all there is
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        print(f"ppocore {options.command}: the run failed: {reason}; {saved[-1]}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"ppocore {options.command}: interrupted", file=sys.stderr)
        return FAILED


def _plainly(command: str, otherwise: Any) -> Any:
    """Shows what a run warns of as a sentence."""

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, RunWarning):
            print(f"ppocore {command}: warning: {message}", file=sys.stderr)
        else:
            otherwise(message, category, *rest, **more)

    return show


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="ppocore", description="Proximal policy optimization; the backend plugs in.")
    parser.add_argument("--version", action="version", version=f"ppocore {__version__}")
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = subcommands.add_parser(
        "train",
        help="train a policy",
        description="Train a policy. Settings that are not given come from the environment's preset if it has "
        "one, else from the defaults below.",
    )
    train.add_argument("env", nargs="?", default="CartPole-v1", metavar="ENV", help="environment id (CartPole-v1)")
    train.add_argument("--backend", default="numpy", metavar="NAME", help="see ppocore backends (numpy)")
    train.add_argument("--device", default="cpu", metavar="NAME", help="where the backend computes: cpu or cuda (cpu)")
    train.add_argument("--seed", type=int, default=0, metavar="N", help="seed of every random number (0)")
    train.add_argument("--run-dir", metavar="DIR", help="new directory for the run (runs/ENV-BACKEND-sSEED)")
    _add_saving(train)
    train.add_argument(
        "--evaluate-episodes",
        type=int,
        default=0,
        metavar="N",
        help="tell the best run file by N evaluated episodes; 0: by the training return (0)",
    )
    _add_reporting(train)
    _add_json(train)
    add_settings(train.add_argument_group("settings (PPOConfig)"), PPOConfig)
    _add_runtime(train)
    train.set_defaults(run=commands.train)

    resume = subcommands.add_parser(
        "resume",
        help="go on with a run",
        description="Go on with a run where its newest run file left it, to the fingerprint that it would have had.",
    )
    resume.add_argument("path", metavar="RUN", help="run directory")
    resume.add_argument(
        "--backend", default=argparse.SUPPRESS, metavar="NAME", help="another backend than the one before"
    )
    resume.add_argument(
        "--device", default=argparse.SUPPRESS, metavar="NAME", help="where the backend computes: cpu or cuda"
    )
    resume.add_argument("--steps", dest="total_steps", type=whole_number, metavar="N", help="another total_steps")
    resume.add_argument("--env", metavar="ENV", help="the environment's id, where its name alone is not trusted")
    resume.add_argument(
        "--restart-episodes",
        action="store_true",
        help="where an environment cannot be brought back, begin its next episode: another run than it would have been",
    )
    _add_saving(resume)
    _add_reporting(resume)
    _add_json(resume)
    _add_runtime(resume)
    resume.set_defaults(run=commands.resume)

    evaluate = subcommands.add_parser("evaluate", help="run a trained policy", description="Run a trained policy.")
    evaluate.add_argument("path", metavar="RUN", help="run directory, or a policy file together with --env")
    evaluate.add_argument("--episodes", type=int, default=100, metavar="N", help="whole episodes (100)")
    evaluate.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the environments (0)")
    evaluate.add_argument("--stochastic", action="store_true", help="sample actions instead of the most probable")
    evaluate.add_argument("--env", metavar="ENV", help="another environment than the run's")
    _add_json(evaluate)
    evaluate.set_defaults(run=commands.evaluate)

    compare = subcommands.add_parser(
        "compare",
        help="say whether runs are equal, or where they part",
        description="Hold runs against the first: equal after every iteration, or the first iteration and tensor "
        "that differ. Exit status 1 if any part.",
    )
    compare.add_argument("paths", nargs="+", metavar="RUN", help="run directories, two or more")
    _add_json(compare)
    compare.set_defaults(run=commands.compare)

    replay = subcommands.add_parser(
        "replay",
        help="see again what was not finite",
        description="Make the optimizer step again, in float64 NumPy, that a run could not make, and say what of it is "
        "not finite.",
    )
    replay.add_argument("path", metavar="BUNDLE", help="the file that the run names")
    _add_json(replay)
    replay.set_defaults(run=commands.replay)

    export = subcommands.add_parser(
        "export",
        help="write a policy for other programs",
        description="Write a policy as an ONNX model, with its normalization, and hold it against the policy "
        "(needs onnx and onnxruntime).",
    )
    export.add_argument("path", metavar="RUN", help="run directory, policy file or run file")
    export.add_argument("--onnx", required=True, metavar="FILE", help="the model to write")
    export.add_argument("--mask", action="store_true", help="with an input for the mask of allowed actions")
    export.set_defaults(run=commands.export)

    backends = subcommands.add_parser(
        "backends", help="list the backends", description="Which backends can be used here."
    )
    _add_json(backends)
    backends.set_defaults(run=commands.backends)

    check_gae = subcommands.add_parser(
        "check-gae",
        help="find the mistakes of an advantage function",
        description="Hold generalized advantage estimation, anyone's, against its definition, property by property, "
        "and name the mistake it makes (needs hypothesis). Exit status 1 if any property fails.",
    )
    check_gae.add_argument("target", metavar="MODULE:FUNCTION", help="found as from python in this directory")
    signatures = "flags dones dones-before batch-major episodes tokens tokens-left".split()
    check_gae.add_argument(
        "--signature", default="flags", choices=signatures, help="how it is called, see docs/check-your-gae.md (flags)"
    )
    kinds = "numpy torch paddle jax".split()
    check_gae.add_argument("--arrays", default="numpy", choices=kinds, help="what it takes and gives (numpy)")
    check_gae.add_argument(
        "--truncation",
        default="next_values",
        choices=["next_values", "in_rewards"],
        help="in_rewards: its caller adds the bootstrap of a truncated step to the reward (next_values)",
    )
    check_gae.add_argument("--examples", type=int, default=50, metavar="N", help="trajectories for each property (50)")
    check_gae.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the trajectories (0)")
    _add_json(check_gae)
    check_gae.set_defaults(run=commands.check_gae)

    check = subcommands.add_parser(
        "check-backend",
        help="prove that a backend computes what the numpy one does",
        description="Hold a backend against the numpy one, property by property (needs hypothesis). "
        "Exit status 1 if any fails.",
    )
    check.add_argument("name", metavar="NAME", help="see ppocore backends; or MODULE:CLASS, a class of your own")
    check.add_argument("--examples", type=int, default=50, metavar="N", help="problems tried for each property (50)")
    check.add_argument("--device", default="cpu", metavar="NAME", help="where the backend computes: cpu or cuda (cpu)")
    _add_json(check)
    check.set_defaults(run=commands.check_backend)
    return parser


def _add_saving(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint-every",
        type=int,
        metavar="N",
        help="iterations between run files; 0: none before the end (50, or a minute)",
    )
    parser.add_argument("--keep", type=int, metavar="N", help="run files to keep, beside the best (3)")


def _add_reporting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--report",
        nargs="+",
        metavar="NAME",
        help="reporters by name; others than console come with packages (console)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")


def _add_runtime(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("runtime (how it is computed, which does not decide the result)")
    add_settings(group, Runtime, leave_out=("backend", "device"))


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="last line of standard output is one JSON object")
