"""Derive command-line options from dataclasses of settings, and report wrong usage in one line."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from ppocore.config import PPOConfig
from ppocore.training import Runtime

WRONG_USE = 2


class Parser(argparse.ArgumentParser):
    """Report wrong usage in one line, with the closest option if one was misspelled."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit."""
        unknown = message.removeprefix("unrecognized arguments: ")
        if unknown != message:
            options = [o for action in self._known() for o in action.option_strings]
            close = get_close_matches(unknown.split()[0].split("=")[0], options, n=1)
            message = f"unknown argument {unknown.split()[0]}" + (f"; did you mean {close[0]}?" if close else "")
        self.exit(WRONG_USE, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def _known(self) -> list[argparse.Action]:
        """Return the actions of this parser and of its subcommands."""
        actions = list(self._actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    actions += parser._actions
        return actions


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
