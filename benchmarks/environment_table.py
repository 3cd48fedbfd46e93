"""Write the table of docs/environments.md from the results of benchmarks/environments.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym

PAGE = Path(__file__).resolve().parent.parent / "docs" / "environments.md"
BEGIN, END = "<!-- made by benchmarks/environments.py -->", "<!-- end -->"


def kind(space: gym.Space[Any]) -> str:
    """Return a space in a few words."""
    spaces = gym.spaces
    if isinstance(space, spaces.Box):
        return f"Box {' x '.join(map(str, space.shape)) or 'scalar'} {space.dtype}"
    if isinstance(space, spaces.Discrete):
        return f"Discrete {space.n}"
    if isinstance(space, spaces.MultiDiscrete):
        values = space.nvec.ravel().tolist()
        return f"MultiDiscrete {values}" if len(values) <= 4 else f"MultiDiscrete of {len(values)}"
    if isinstance(space, spaces.MultiBinary):
        return f"MultiBinary {space.n}"
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = list(space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces)
        return f"{type(space).__name__} of {', '.join(sorted({type(part).__name__ for part in parts}))}"
    return type(space).__name__


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the results as Markdown: a summary, a row for each environment, and the sentences."""
    return "\n\n".join(filter(None, (_summary(rows), _packages(rows), _environments(rows), _sentences(rows))))


def write(rows: Sequence[dict[str, Any]], page: Path = PAGE) -> None:
    """Put the table between the markers of the page."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} does not have the markers {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}", encoding="utf-8")


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    same = [row for row in rows if row["resumed"] == "yes"]
    compared = [row for row in rows if row["async"]]
    return (
        f"{len(rows)} environments of {len({row['package'] for row in rows})} packages; "
        f"{sum(row['trained'] for row in rows)} trained; **{len(same)} of "
        f"{len({row['package'] for row in same})} packages resumed to the same fingerprint**; in worker processes "
        f"{sum(row['async'] == 'yes' for row in compared)} of {len(compared)} that were tried had the same one."
    )


def _packages(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| Package | Version | Environments | Trained | Resumed to the same fingerprint |",
        "|---|---|---:|---:|---:|",
    ]
    for package in dict.fromkeys(row["package"] for row in rows):
        own = [row for row in rows if row["package"] == package]
        versions = ", ".join(dict.fromkeys(row["version"] for row in own))
        trained, same = sum(row["trained"] for row in own), sum(row["resumed"] == "yes" for row in own)
        lines.append(f"| {package} | {versions} | {len(own)} | {trained} | {same} |")
    return "\n".join(lines)


def _environments(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| Package | Environment | With | Observation | Action | Trained | Same when resumed | In worker processes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = 0
    for row in rows:
        notes += bool(_sentence(row))
        resumed = row["resumed"] if row["resumed"] in ("yes", "") else "no"
        marked = f" ({notes})" if _sentence(row) else ""
        cells = (
            row["package"],
            f"`{row['id']}`",
            row["with"],
            row["observation"],
            row["action"],
            "yes" if row["trained"] else f"no{marked}",
            resumed + (marked if row["trained"] else ""),
            {"yes": "the same", "": ""}.get(row["async"], f"no{marked}"),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _sentence(row: dict[str, Any]) -> str:
    said, more = row["problem"], ""
    if row["resumed"] not in ("yes", ""):
        said = row["resumed"]
        more = " (two runs in one go differ, too)" if row.get("repeated") == "no" else ""
    elif row["async"] not in ("yes", ""):
        said = f"in worker processes: {row['async']}"
    elif row["evaluated"] and not row["evaluated"].endswith(" steps"):
        said = f"evaluated: {row['evaluated']}"
    said = " ".join(said.partition(": the run in ")[0].split())  # what follows names a temporary directory
    return (said if len(said) <= 400 else said[:400] + " ...") + more


def _sentences(rows: Sequence[dict[str, Any]]) -> str:
    said = [(row, _sentence(row)) for row in rows if _sentence(row)]
    lines = [f"{number}. `{row['id']}`: {text}" for number, (row, text) in enumerate(said, 1)]
    return "\n".join(["What was said of the others:", "", *lines]) if lines else ""
