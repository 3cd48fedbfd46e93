"""Derive command-line options from dataclasses of settings, and report wrong usage in one line."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NoReturn

from ppocore.config import PPOConfig
from ppocore.presets import SETTINGS_ELSEWHERE
from ppocore.training import Runtime

DONE, FAILED, WRONG_USE, UNDECLARED = 0, 1, 2, 3
"""Exit statuses; the last one is that of a check that passes only if more is declared."""

_GROUPS = {
    "settings of collecting and learning (PPOConfig)": (
        "total_steps num_envs num_steps update_epochs minibatch_size learning_rate anneal_learning_rate "
        "critic_learning_rate separate_optimizers adaptive_lr_kl adam_epsilon max_grad_norm target_kl"
    ),
    "settings of advantages (PPOConfig)": (
        "gamma gae_lambda advantage_estimator n_step value_target recompute_advantages normalize_advantages "
        "advantage_scope"
    ),
    "settings of the network (PPOConfig)": (
        "hidden_sizes activation shared_trunk continuous_policy log_std_init learn_log_std normalize_observations "
        "normalize_rewards precision"
    ),
}
_OTHERS = "settings of the objective (PPOConfig)"


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Wrap between words alone, and keep the lines of the examples."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_long_words=False, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = []
        for paragraph in text.split("\n\n"):
            if not paragraph.startswith("examples:"):
                paragraph = textwrap.fill(paragraph, width, break_long_words=False, break_on_hyphens=False)
            paragraphs.append(paragraph)
        return "\n\n".join(paragraphs)


class Parser(argparse.ArgumentParser):
    """Report wrong usage in one line, with the option that may be meant.

    Attributes:
        commands: the parser of each command, by name.
    """

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", Formatter)
        super().__init__(**settings)
        self.commands: dict[str, Parser] = {}

    def error(self, message: str) -> NoReturn:
        """Print the message and exit."""
        with suppress(OSError, ValueError):
            print(f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)", file=sys.stderr, flush=True)
        self.exit(WRONG_USE)

    def unknown(self, arguments: Sequence[str]) -> NoReturn:
        """Report arguments that there are not, and exit."""
        first = arguments[0]
        options = [option for action in self._actions for option in action.option_strings]
        self.error(f"unknown argument {first}{_meant(first.partition('=')[0], options)}")


def _meant(unknown: str, options: Sequence[str]) -> str:
    """Return which option may be meant, if any."""
    if not unknown.startswith("-"):
        return ""
    name = unknown.lstrip("-").lower()
    elsewhere = _ELSEWHERE.get(name) or SETTINGS_ELSEWHERE.get(name.replace("-", "_"))
    if elsewhere is not None:
        flag = "--" + elsewhere.replace("_", "-")
        if flag in options:
            return f"; here it is {flag}"
    close = get_close_matches(name, [option.lstrip("-") for option in options], n=1, cutoff=0.75)
    return f"; did you mean --{close[0]}?" if close else ""


_ELSEWHERE = {
    "backend-name": "backend",
    "framework": "backend",
    "gpu": "device",
    "cuda": "device",
    "log-dir": "run_dir",
    "logdir": "run_dir",
    "out": "run_dir",
    "output": "run_dir",
    "output-dir": "run_dir",
    "save-dir": "run_dir",
    "save-freq": "checkpoint_every",
    "n-eval-episodes": "evaluate_episodes",
    "eval-episodes": "evaluate_episodes",
    "n-episodes": "episodes",
    "num-episodes": "episodes",
    "time-limit": "max_episode_steps",
    "env-args": "env_kwargs",
    "wrappers": "wrapper",
    "silent": "quiet",
    "verbose": "report",
}
"""Names that other programs have for an option that is no setting."""


def add_grouped_settings(parser: argparse.ArgumentParser) -> None:
    """Add an option for every setting of the algorithm, in groups."""
    grouped = {title: names.split() for title, names in _GROUPS.items()}
    listed = [name for names in grouped.values() for name in names]
    grouped[_OTHERS] = [field.name for field in dataclasses.fields(PPOConfig) if field.name not in listed]
    for title, names in grouped.items():
        others = [field.name for field in dataclasses.fields(PPOConfig) if field.name not in names]
        add_settings(parser.add_argument_group(title), PPOConfig, leave_out=others)


def add_settings(group: Any, settings: type[PPOConfig] | type[Runtime], leave_out: Sequence[str] = ()) -> None:
    """Add an option for every field of a dataclass of settings; options not given are absent from the namespace."""
    for setting in dataclasses.fields(settings):
        if setting.name in leave_out:
            continue
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
            parse: Any = {"int": whole_number, "float": float, "str": str}[base]
            options |= {
                "type": _or_none(parse) if base != kind else parse,
                "metavar": {"int": "N", "float": "X", "str": "NAME"}[base],
            }
        group.add_argument(*flags, help=f"{setting.metadata['help']} ({shown})".replace("%", "%%"), **options)


def add_json(group: Any) -> None:
    """Add ``--json``."""
    group.add_argument("--json", action="store_true", help="print a JSON object as the last line of standard output")


def whole_number(text: str) -> int:
    """Parse an integer, which may be written as 1e6 or 1_000_000."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise ValueError(f"{text} is not a whole number") from None
        return int(number)


whole_number.__name__ = "whole number"  # argparse names the type in its message


def _or_none(parse: Any) -> Any:
    def parse_or_none(text: str) -> Any:
        return None if text.lower() == "none" else parse(text)

    parse_or_none.__name__ = f"{parse.__name__} or none"
    return parse_or_none


def given(options: argparse.Namespace, settings: type[PPOConfig] | type[Runtime]) -> dict[str, Any]:
    """Return the fields of a dataclass of settings that were given as options."""
    names = {field.name for field in dataclasses.fields(settings)}
    return {name: value for name, value in vars(options).items() if name in names}
