"""The command line: ``ppocore train``, ``evaluate``, ``compare``, ``backends``, ``check-gae``, ``check-backend``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from . import __version__
from .config import PPOConfig
from .errors import RunError, UsageError

DONE, FAILED, WRONG_USE = 0, 1, 2


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence, with the closest option where one was misspelt."""

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            options = [o for action in self._known() for o in action.option_strings]
            close = get_close_matches(unknown.split()[0].split("=")[0], options, n=1)
            message = f"unknown argument {unknown.split()[0]}" + (f"; did you mean {close[0]}?" if close else "")
        self.exit(WRONG_USE, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def _known(self) -> list[argparse.Action]:
        """Actions of this parser and of the subcommands beneath it."""
        actions = list(self._actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    actions += parser._actions
        return actions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status (0 done, 1 a run that failed or runs that part, 2 wrong use)."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except UsageError as error:
        print(f"ppocore {options.command}: {error}", file=sys.stderr)
        return WRONG_USE
    except RunError as error:
        print(f"ppocore {options.command}: the run failed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"ppocore {options.command}: interrupted", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ppocore", description="Proximal policy optimization; the backend plugs in.")
    parser.add_argument("--version", action="version", version=f"ppocore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser(
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
    train.add_argument("--quiet", action="store_true", help="no progress, only the result")
    _add_json(train)
    _add_settings(train.add_argument_group("settings (PPOConfig)"))
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("evaluate", help="run a trained policy", description="Run a trained policy.")
    evaluate.add_argument("path", metavar="RUN", help="run directory, or a policy file together with --env")
    evaluate.add_argument("--episodes", type=int, default=100, metavar="N", help="whole episodes (100)")
    evaluate.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the environments (0)")
    evaluate.add_argument("--stochastic", action="store_true", help="sample actions instead of the most probable")
    evaluate.add_argument("--env", metavar="ENV", help="another environment than the run's")
    _add_json(evaluate)
    evaluate.set_defaults(run=_evaluate)

    compare = commands.add_parser(
        "compare",
        help="say whether runs are equal, or where they part",
        description="Hold runs against the first: equal after every iteration, or the first iteration and tensor "
        "that differ. Exit status 1 if any part.",
    )
    compare.add_argument("paths", nargs="+", metavar="RUN", help="run directories, two or more")
    _add_json(compare)
    compare.set_defaults(run=_compare)

    backends = commands.add_parser("backends", help="list the backends", description="Which backends can be used here.")
    _add_json(backends)
    backends.set_defaults(run=_backends)

    check_gae = commands.add_parser(
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
    check_gae.set_defaults(run=_check_gae)

    check = commands.add_parser(
        "check-backend",
        help="prove that a backend computes what the numpy one does",
        description="Hold a backend against the numpy one, property by property (needs hypothesis). "
        "Exit status 1 if any fails.",
    )
    check.add_argument("name", metavar="NAME", help="see ppocore backends")
    check.add_argument("--examples", type=int, default=50, metavar="N", help="problems tried for each property (50)")
    check.add_argument("--device", default="cpu", metavar="NAME", help="where the backend computes: cpu or cuda (cpu)")
    _add_json(check)
    check.set_defaults(run=_check_backend)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="last line of standard output is one JSON object")


def _add_settings(group: Any) -> None:
    """One option for every field of PPOConfig; an option that is not given does not appear in the result."""
    for setting in dataclasses.fields(PPOConfig):
        kind, flags = str(setting.type), ["--" + setting.name.replace("_", "-")]
        if setting.name == "total_steps":
            flags.insert(0, "--steps")
        options: dict[str, Any] = {"dest": setting.name, "default": argparse.SUPPRESS}
        default: Any = setting.default
        shown = "none" if default is None else str(default)
        if kind == "bool":
            options["action"] = argparse.BooleanOptionalAction
            shown = "on" if default else "off"
        elif kind.startswith("tuple"):
            options |= {"nargs": "*", "type": int, "metavar": "N"}
            shown = " ".join(map(str, default))
        else:
            base = kind.removesuffix(" | None")
            parse: Any = {"int": _whole_number, "float": float, "str": str}[base]
            options |= {
                "type": _or_none(parse) if base != kind else parse,
                "metavar": {"int": "N", "float": "X", "str": "NAME"}[base],
            }
        group.add_argument(*flags, help=f"{setting.metadata['help']} ({shown})".replace("%", "%%"), **options)


def _whole_number(text: str) -> int:
    """An integer, also written 1e6 or 1_000_000."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{text} is not a whole number") from None
        return int(number)


_whole_number.__name__ = "whole number"  # argparse names the type in its message


def _or_none(parse: Any) -> Any:
    def parse_or_none(text: str) -> Any:
        return None if text.lower() == "none" else parse(text)

    parse_or_none.__name__ = f"{parse.__name__} or none"
    return parse_or_none


def _train(options: argparse.Namespace) -> int:
    from .presets import preset_changes
    from .reporting.console import ConsoleReporter
    from .run_directory import RunDirectory
    from .trainer import train

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
    result = train(
        options.env,
        config,
        backend=options.backend,
        device=options.device,
        seed=options.seed,
        run_dir=run_dir,
        reporters=[] if options.quiet else [ConsoleReporter()],
    )
    if options.json:
        print(json.dumps(result.summary()))
    elif options.quiet:
        print(result.fingerprint)
    if result.interrupted:
        print(
            f"ppocore train: interrupted after {result.steps} steps: the policy is saved in {result.run_dir}",
            file=sys.stderr,
        )
        return FAILED
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


def _evaluate(options: argparse.Namespace) -> int:
    from .evaluation import evaluate
    from .policy import Policy
    from .run_directory import read_configuration

    policy = Policy.load(options.path)
    env = options.env or read_configuration(options.path)["env"]
    result = evaluate(
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


def _compare(options: argparse.Namespace) -> int:
    from .comparison import compare

    comparison = compare(options.paths)
    print(json.dumps(comparison.summary()) if options.json else "\n".join(comparison.lines()))
    return DONE if comparison.equal else FAILED


def _check_backend(options: argparse.Namespace) -> int:
    from .testing.command import check_backend_command

    passed = check_backend_command(options.name, examples=options.examples, device=options.device, as_json=options.json)
    return DONE if passed else FAILED


def _check_gae(options: argparse.Namespace) -> int:
    from .testing.gae.command import check_gae_command

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


def _backends(options: argparse.Namespace) -> int:
    from .registry import available_backends

    backends = available_backends()
    if options.json:
        print(json.dumps({name: {"available": hint is None, "install": hint} for name, hint in backends.items()}))
    else:
        for name, hint in backends.items():
            print(f"{name:<10} {hint or 'available'}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
