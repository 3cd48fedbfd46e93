"""Say in the options of a command what the library says in its arguments.

Every sentence of the library names an argument as ``name=value``, or ``name=`` where the value is up to the reader. A
program's reader can type that as it is; on the command line it becomes an option here, in one place.
"""

from __future__ import annotations

import argparse
import re

_ARGUMENT = re.compile(
    r"""(?<![\w./:'"-])(?<!directory )(?P<name>[a-z][a-z0-9_]*)="""
    r"""(?P<value>'[^']*'|"[^"]*"|\([^()]*\)|\[[^\[\]]*\]|[^\s,;:()\[\]{}'"]*)"""
)
_SAID_BY_OTHERS = re.compile(r": [A-Z]\w*: |config\.json|does not describe")
"""What follows is what an environment raised, or what a file says: none of it was given as an option."""
_OTHER_NAMES = {"wrappers": "wrapper", "with_mask": "mask", "reporters": "report"}
"""Arguments of the library whose options have another name."""


def in_options(sentence: str, parser: argparse.ArgumentParser) -> str:
    """Return a sentence with the arguments of the library that the command has options for as these options."""
    options = _options(parser)
    ours = _SAID_BY_OTHERS.search(sentence)
    end = ours.start() if ours else len(sentence)

    def option(found: re.Match[str]) -> str:
        action = options.get(found["name"])
        if action is None or ("/" in found["value"] and found["name"] != "env"):  # part of a path
            return found[0]
        flag, value = action.option_strings[0], _bare(found["value"])
        if action.nargs == 0 and value in ("True", "False"):
            negative = [name for name in action.option_strings if name.startswith("--no-")]
            return flag if value == "True" or not negative else negative[0]
        return f"{flag} {'none' if value == 'None' else value}" if value else flag

    return _ARGUMENT.sub(option, sentence[:end]) + sentence[end:]


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the options of a command by every name that the library may have for them."""
    named = {}
    for action in parser._actions:
        for name in (action.dest, *(option.lstrip("-").replace("-", "_") for option in action.option_strings)):
            if action.option_strings:
                named[name] = action
    return named | {theirs: named[ours] for theirs, ours in _OTHER_NAMES.items() if ours in named}


def _bare(value: str) -> str:
    """Return a value as it is typed on the command line: without quotes, brackets and commas."""
    if value[:1] in "([":
        value = " ".join(part.strip().strip("'\"") for part in value[1:-1].split(","))
    return value.strip("'\"").strip()
