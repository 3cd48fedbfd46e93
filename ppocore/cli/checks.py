"""Add and run ``ppocore check-gae`` and ``ppocore check-backend``."""

from __future__ import annotations

import argparse
from typing import Any

from ppocore.cli.output import show
from ppocore.cli.settings import DONE, FAILED, UNDECLARED, add_json, whole_number
from ppocore.errors import UsageError


def add_check_gae(subcommands: Any) -> None:
    """Add ``check-gae``."""
    check_gae = subcommands.add_parser(
        "check-gae",
        help="check an advantage function",
        description="Check any implementation of generalized advantage estimation against its definition, property by "
        "property, and name known mistakes. Requires hypothesis. The exit status is 1 if any property fails, and 3 if "
        "the function is right under a choice that no option declares.",
        epilog="examples:\n  ppocore check-gae my_package.ppo:compute_gae\n"
        "  ppocore check-gae my_file.py:gae --arrays torch --results 'returns, advantages'\n"
        "  ppocore check-gae my_file.py:gae --signature 'rewards values masks last_values gamma lam'",
    )
    check_gae.add_argument(
        "target", metavar="MODULE:FUNCTION", help="function to check, importable from the current directory"
    )
    check_gae.add_argument(
        "--signature",
        default="guess",
        metavar="NAME",
        help="its arguments: guess, flags, dones, dones-before, batch-major, episodes, tokens, tokens-left, or a list "
        "of them in order, see docs/check-your-gae.md (guess)",
    )
    kinds = "numpy torch paddle jax".split()
    formats = "float64 float32 float16 bfloat16".split()
    check_gae.add_argument("--arrays", default="numpy", choices=kinds, help="its kind of arrays (numpy)")
    check_gae.add_argument("--dtype", choices=formats, help="format of its numbers (the default of its arrays)")
    check_gae.add_argument(
        "--flags", choices=["bool", "float", "int"], help="what its flags are (the first of these that it takes)"
    )
    check_gae.add_argument(
        "--truncation",
        default="next_values",
        choices=["next_values", "in_rewards"],
        help="how it bootstraps a truncated step: from next_values, or in_rewards if the caller adds the bootstrap to "
        "the reward (next_values)",
    )
    check_gae.add_argument(
        "--results",
        metavar="NAMES",
        help="what it returns, such as 'returns, advantages', 'returns' or 'advantages, _'",
    )
    check_gae.add_argument(
        "--returns",
        default="lambda",
        choices=["lambda", "rewards_to_go", "any"],
        help="what its returns are: advantages and values (lambda), rewards to go, or anything",
    )
    check_gae.add_argument("--normalized", action="store_true", help="it normalizes the advantages over the rollout")
    check_gae.add_argument("--whole-episodes", action="store_true", help="it is meant for whole episodes only")
    check_gae.add_argument(
        "--estimator", default="gae", choices=["gae", "vtrace"], help="what its advantages are (gae)"
    )
    check_gae.add_argument("--gamma", type=float, metavar="X", help="the only discount it is meant for (any)")
    check_gae.add_argument(
        "--lam", type=float, metavar="X", help="the only lambda it is meant for: 1 for Monte Carlo (any)"
    )
    check_gae.add_argument(
        "--examples", type=whole_number, metavar="N", help="trajectories per property (50; 12 for JAX)"
    )
    check_gae.add_argument("--seed", type=whole_number, default=0, metavar="N", help="seed of the trajectories (0)")
    add_json(check_gae)
    check_gae.set_defaults(run=check_gae_command)


def add_check_backend(subcommands: Any) -> None:
    """Add ``check-backend``."""
    check = subcommands.add_parser(
        "check-backend",
        help="check a backend against the NumPy backend",
        description="Check a backend against the NumPy backend, property by property. Requires hypothesis. The exit "
        "status is 1 if any property fails.",
        epilog="examples:\n  ppocore check-backend torch\n  ppocore check-backend --skeleton > my_backend.py\n"
        "  ppocore check-backend my_backend.py:MyBackend\n  ppocore check-backend my_package.backend:MyBackend",
    )
    check.add_argument(
        "name", nargs="?", metavar="NAME", help="one that `ppocore backends` lists, MODULE:CLASS, or FILE.py:CLASS"
    )
    check.add_argument("--examples", type=whole_number, default=50, metavar="N", help="problems per property (50)")
    check.add_argument("--device", default="cpu", metavar="NAME", help="device of the backend: cpu or cuda (cpu)")
    check.add_argument("--skeleton", action="store_true", help="print a backend to fill in, and check nothing")
    add_json(check)
    check.set_defaults(run=check_backend_command)


def check_backend_command(options: argparse.Namespace) -> int:
    """Run ``ppocore check-backend``."""
    from ppocore.testing.backends import command

    if options.skeleton:
        if options.name is not None:
            raise UsageError(f"--skeleton prints a backend and checks none: leave {options.name} out")
        show(command.skeleton().rstrip())
        return DONE
    if options.name is None:
        raise UsageError("there is no backend to check: give a name, MODULE:CLASS, FILE.py:CLASS, or --skeleton")
    passed = command.check_backend_command(
        options.name, examples=options.examples, device=options.device, as_json=options.json
    )
    return DONE if passed else FAILED


def check_gae_command(options: argparse.Namespace) -> int:
    """Run ``ppocore check-gae``."""
    from ppocore.testing.gae.command import check_gae_command

    names = "arrays dtype flags truncation results returns normalized whole_episodes estimator gamma lam seed".split()
    verdict = check_gae_command(
        options.target,
        signature=options.signature,
        examples=options.examples,
        as_json=options.json,
        **{name: getattr(options, name) for name in names},
    )
    return {"passed": DONE, "failed": FAILED, "choice": UNDECLARED}[verdict]
