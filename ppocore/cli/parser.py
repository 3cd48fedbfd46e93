"""Parse the command line: ``ppocore train``, ``resume``, ``evaluate``, ``compare``, ``replay``, ``export`` and more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ppocore.cli import checks, commands
from ppocore.cli.settings import Parser, add_grouped_settings, add_json, add_settings, whole_number
from ppocore.files.version import __version__
from ppocore.training import Runtime


def parse(arguments: Sequence[str] | None) -> argparse.Namespace | None:
    """Return the options of a command, or None after printing the help, if there is no command."""
    parser = build_parser()
    options, unknown = parser.parse_known_args(arguments)
    if options.command is None:
        if unknown:
            parser.unknown(unknown)
        parser.print_help()
        return None
    if unknown:
        options.parser.unknown(unknown)
    return options


def build_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(
        prog="ppocore",
        description="Proximal policy optimization (PPO) with interchangeable backends.",
        epilog="examples:\n  ppocore train CartPole-v1\n  ppocore evaluate runs/CartPole-v1-numpy-s0\n"
        "  ppocore COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"ppocore {__version__}")
    subcommands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    _add_train(subcommands)
    _add_resume(subcommands)
    _add_evaluate(subcommands)
    _add_compare(subcommands)
    _add_replay(subcommands)
    _add_export(subcommands)
    _add_backends(subcommands)
    checks.add_check_gae(subcommands)
    checks.add_check_backend(subcommands)
    parser.commands = subcommands.choices
    for command in parser.commands.values():
        command.set_defaults(parser=command)
    return parser


def _add_train(subcommands: Any) -> None:
    train = subcommands.add_parser(
        "train",
        help="train a policy",
        usage="ppocore train [ENV] [OPTION ...]",
        description="Train a policy. A setting that is not given has the value of the environment's preset, or the "
        "default in parentheses below if there is no preset.",
        epilog="examples:\n  ppocore train Pendulum-v1 --seed 3 --steps 2e5\n"
        "  ppocore train FrozenLake-v1 --env-kwargs is_slippery=false\n"
        "  ppocore train CartPole-v1 --wrapper FrameStackObservation:stack_size=4\n"
        "  ppocore train my_package:MyEnv-v0 --observation-keys image direction",
    )
    train.add_argument("env", nargs="?", default="CartPole-v1", metavar="ENV", help="environment ID (CartPole-v1)")
    run = train.add_argument_group("run")
    run.add_argument(
        "--backend", default="numpy", metavar="NAME", help="backend, one of those that `ppocore backends` lists (numpy)"
    )
    run.add_argument("--device", default="cpu", metavar="NAME", help="device of the backend: cpu or cuda (cpu)")
    run.add_argument("--seed", type=whole_number, default=0, metavar="N", help="seed of all random numbers (0)")
    run.add_argument("--run-dir", metavar="DIR", help="new directory for the run (runs/ENV-BACKEND-sSEED)")
    run.add_argument("--no-preset", action="store_true", help="use the defaults, not the environment's preset")
    _add_environment(train)
    saving = _add_saving(train)
    saving.add_argument(
        "--evaluate-episodes",
        type=whole_number,
        default=0,
        metavar="N",
        help="rank checkpoints by the mean return of N evaluated episodes; 0: of the last 100 training episodes (0)",
    )
    _add_output(train)
    add_grouped_settings(train)
    _add_runtime(train)
    train.set_defaults(run=commands.train)


def _add_resume(subcommands: Any) -> None:
    resume = subcommands.add_parser(
        "resume",
        help="resume a run",
        usage="ppocore resume RUN [OPTION ...]",
        description="Resume a run from its newest checkpoint. It ends with the fingerprint of an uninterrupted run. "
        "An option that is not given keeps the value of the run; values in parentheses are the defaults of a new run.",
        epilog="examples:\n  ppocore resume runs/CartPole-v1-numpy-s0\n"
        "  ppocore resume runs/CartPole-v1-numpy-s0 --steps 2e5 --backend torch",
    )
    resume.add_argument("path", metavar="RUN", help="run directory")
    run = resume.add_argument_group("run")
    run.add_argument(
        "--backend", default=argparse.SUPPRESS, metavar="NAME", help="new backend, one that `ppocore backends` lists"
    )
    run.add_argument(
        "--device", default=argparse.SUPPRESS, metavar="NAME", help="new device of the backend: cpu or cuda"
    )
    run.add_argument("--steps", dest="total_steps", type=whole_number, metavar="N", help="new total_steps")
    run.add_argument(
        "--restart-episodes",
        action="store_true",
        help="start a new episode in an environment that cannot be restored; the result then differs from that of an "
        "uninterrupted run",
    )
    _add_environment(resume, "environment ID of the run; required if it names a module to import (MODULE:ID)")
    _add_saving(resume)
    _add_output(resume)
    _add_runtime(resume)
    resume.set_defaults(run=commands.resume)


def _add_evaluate(subcommands: Any) -> None:
    evaluate = subcommands.add_parser(
        "evaluate",
        help="evaluate a policy",
        description="Evaluate a trained policy: print the mean return of a number of episodes, in the environment of "
        "the run, made with the arguments and wrappers that the run recorded.",
        epilog="examples:\n  ppocore evaluate runs/CartPole-v1-numpy-s0 --episodes 20\n"
        "  ppocore evaluate policy.safetensors --env CartPole-v1",
    )
    evaluate.add_argument("path", metavar="RUN", help="run directory or a file in it, or another policy file and --env")
    episodes = evaluate.add_argument_group("episodes")
    episodes.add_argument("--episodes", type=whole_number, default=100, metavar="N", help="number of episodes (100)")
    episodes.add_argument("--seed", type=whole_number, default=0, metavar="N", help="seed of the environments (0)")
    episodes.add_argument(
        "--stochastic", action="store_true", help="sample actions instead of taking the most probable ones"
    )
    _add_environment(evaluate, "environment ID, if not that of the run")
    add_json(evaluate)
    evaluate.set_defaults(run=commands.evaluate)


def _add_compare(subcommands: Any) -> None:
    compare = subcommands.add_parser(
        "compare",
        help="compare runs",
        description="Compare runs with the first one, and print the first iteration and the first tensor that differ. "
        "The exit status is 1 if any run differs.",
    )
    compare.add_argument("paths", nargs="+", metavar="RUN", help="two or more run directories")
    add_json(compare)
    compare.set_defaults(run=commands.compare)


def _add_replay(subcommands: Any) -> None:
    replay = subcommands.add_parser(
        "replay",
        help="replay a failed update",
        description="Replay, in float64 NumPy, an update that was not finite, and print which arrays are not finite.",
    )
    replay.add_argument(
        "path",
        metavar="BUNDLE",
        help="file of the update, non-finite-N.safetensors, or its run directory",
    )
    add_json(replay)
    replay.set_defaults(run=commands.replay)


def _add_export(subcommands: Any) -> None:
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


def _add_backends(subcommands: Any) -> None:
    backends = subcommands.add_parser(
        "backends",
        help="list the backends",
        description="List the backends, and how to install those that are not available.",
    )
    add_json(backends)
    backends.set_defaults(run=commands.backends)


def _add_environment(parser: Any, env_help: str | None = None) -> None:
    group = parser.add_argument_group("environment")
    if env_help is not None:
        group.add_argument("--env", metavar="ENV", help=env_help)
    recorded = "" if env_help is None else ", in place of those of the run"
    group.add_argument(
        "--env-kwargs",
        nargs="+",
        metavar="KEY=VALUE",
        help=f"arguments of the environment's constructor{recorded}; also as one JSON object",
    )
    group.add_argument(
        "--max-episode-steps",
        type=whole_number,
        metavar="N",
        help="time limit of an episode, in place of the registered one",
    )
    group.add_argument(
        "--wrapper",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"wrappers, the innermost first{recorded}: Gymnasium's by name, or MODULE:CLASS, with arguments as in "
        "FrameStackObservation:stack_size=4",
    )
    group.add_argument(
        "--observation-keys",
        nargs="+",
        metavar="KEY",
        help="entries to keep of observations that are a dictionary, for instance without a text",
    )


def _add_saving(parser: Any) -> Any:
    group = parser.add_argument_group("saving")
    group.add_argument(
        "--checkpoint-every",
        type=whole_number,
        metavar="N",
        help="iterations between checkpoints, which are at most a minute apart; 0: none before the end (50)",
    )
    group.add_argument(
        "--keep", type=whole_number, metavar="N", help="newest checkpoints to keep, besides the best (3)"
    )
    return group


def _add_output(parser: Any) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--report",
        nargs="+",
        metavar="NAME",
        help="reporters, by name; installed packages can add to the built-in one, console (console)",
    )
    group.add_argument(
        "--quiet", action="store_true", help="print no progress; only, on standard output, `fingerprint` and its value"
    )
    add_json(group)


def _add_runtime(parser: Any) -> None:
    group = parser.add_argument_group("runtime (how the run is computed, which does not affect its result)")
    add_settings(group, Runtime, leave_out=("backend", "device"))
