"""Read the mutants that no test can kill from ``mutation_survivors.toml``, and write the page about them.

A survivor is identified by the source text of its statement, before and after, and by the function around it. Adding
lines above it or moving the file needs no change here.
"""

from __future__ import annotations

import ast
import textwrap
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "benchmarks" / "mutation_survivors.toml"
PAGE = ROOT / "docs" / "mutation.md"
BEGIN, END = "<!-- made by benchmarks/mutation.py --page -->", "<!-- end -->"


class Change(NamedTuple):
    """Identify a mutant by its source text."""

    function: str  # qualified name; empty at module level
    before: str
    after: str


class Survivor(NamedTuple):
    """Hold a change that is not a mistake, how often its function has the statement, and the reason."""

    change: Change
    times: int
    reason: str


@dataclass(frozen=True)
class Module:
    """Hold a module to mutate and the files of its tests.

    Attributes:
        name: its name on the command line.
        file: its path.
        tests: the paths of its tests.
        mutants: the number of mutants when all of them were last run.
        survivors: the mutants that no test can kill.
    """

    name: str
    file: Path
    tests: tuple[Path, ...]
    mutants: int
    survivors: tuple[Survivor, ...]

    @property
    def import_name(self) -> str:
        """The name to import, such as ``ppocore.normalize``."""
        return ".".join(self.file.relative_to(ROOT).with_suffix("").parts)

    def recorded(self) -> Counter[Change]:
        """Return the survivors as this Python version writes them, and how often each occurs."""
        found = Counter[Change]()
        for (function, before, after), times, _ in self.survivors:
            found[Change(function, _as_written_here(before), _as_written_here(after))] += times
        return found


def load() -> dict[str, Module]:
    """Read the modules and their survivors.

    Raises:
        ValueError: a survivor's module is not listed, or a test file does not exist or exists twice.
    """
    data = tomllib.loads(DATA.read_text(encoding="utf-8"))
    modules = {}
    survivors: dict[str, list[Survivor]] = {entry["name"]: [] for entry in data["module"]}
    for entry in data["survivor"]:
        if entry["module"] not in survivors:
            raise ValueError(f"{DATA.name} lists no module {entry['module']!r}")
        change = Change(entry["function"], entry["before"], entry["after"])
        survivors[entry["module"]].append(Survivor(change, entry.get("times", 1), entry["reason"]))
    for entry in data["module"]:
        name = entry["name"]
        tests = tuple(_test_file(test) for test in entry["tests"])
        modules[name] = Module(name, ROOT / entry["file"], tests, entry["mutants"], tuple(survivors[name]))
    return modules


def _as_written_here(statement: str) -> str:
    """Return the statement as this Python's ``ast.unparse`` writes it; versions differ in redundant parentheses."""
    try:
        tree = ast.parse(statement + " pass" if statement.endswith(":") else statement)
    except SyntaxError:  # such as a function with its decorator in one line
        return statement
    return " ".join(line.strip() for line in ast.unparse(tree).splitlines()).removesuffix(" pass")


def _test_file(name: str) -> Path:
    found = sorted((ROOT / "tests").rglob(name))
    if len(found) != 1:
        raise ValueError(f"{DATA.name} names {name}, and tests/ has {len(found)} files of that name")
    return found[0]


def changes(tree: ast.Module) -> list[tuple[Mutant, Change]]:
    """Return the mutants of a module, each with its source text."""
    functions = _functions(tree)
    return [(mutant, Change(functions[id(mutant.statement)], *mutant.difference())) for mutant in mutants(tree)]


def _functions(tree: ast.Module) -> dict[int, str]:
    """Return the qualified name of the function or class around each node, by the node's identity."""
    names: dict[int, str] = {}

    def walk(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            is_scope = isinstance(child, ast.FunctionDef | ast.ClassDef)
            names[id(child)] = f"{name}.{child.name}".lstrip(".") if is_scope else name
            walk(child, names[id(child)])

    walk(tree, "")
    return names


def unknown(module: Module) -> list[Change]:
    """Return the survivors whose source text the module does not have, or not as often."""
    there = Counter(change for _, change in changes(ast.parse(module.file.read_text(encoding="utf-8"))))
    return list((module.recorded() - there).elements())


def page(text: str) -> str:
    """Return the page with the sections between its markers rewritten from the data file."""
    parts = [_counts(), _reasons()]
    pieces = text.split(BEGIN)
    if len(pieces) != len(parts) + 1:
        raise ValueError(f"{PAGE.name} must have {len(parts)} parts that begin with {BEGIN}")
    made = [pieces[0]]
    for part, piece in zip(parts, pieces[1:], strict=True):
        _, _, after = piece.partition(END)
        made.append(f"{BEGIN}\n\n{part}\n\n{END}{after}")
    return "".join(made)


def _counts() -> str:
    rows = ["| module | mutants | killed | share |", "|---|---:|---:|---:|"]
    for module in load().values():
        if not module.mutants:
            rows.append(f"| `{module.name}` | not run since it was changed | | |")
            continue
        killed = module.mutants - module.recorded().total()
        rows.append(f"| `{module.name}` | {module.mutants} | {killed} | {killed / module.mutants:.1%} |")
    return "\n".join(rows)


def _reasons() -> str:
    sections = []
    for module in load().values():
        title = f"### `{module.name}`: `{module.file.relative_to(ROOT).as_posix()}`\n\n"
        reasons: dict[str, list[Survivor]] = {}
        for survivor in module.survivors:
            reasons.setdefault(survivor.reason, []).append(survivor)
        entries = []
        for reason, survivors in reasons.items():
            diffs = []
            for change, times, _ in survivors:
                where = f"# {change.function or 'module level'}" + (f", {times} times" if times > 1 else "")
                diffs.append(f"  {where}\n- {change.before}\n+ {change.after}")
            entries.append(f"{textwrap.fill(reason, 120)}\n\n```diff\n" + "\n".join(diffs) + "\n```")
        sections.append(title + ("\n\n".join(entries) or "None."))
    return "\n\n".join(sections)
