"""Convert the docstrings of the sources to Markdown for the documentation site (a griffe extension).

In the sources a literal block begins with ``::`` and a table is ruled with ``=``, as in reStructuredText, and a field
may have a comment beside it instead of a docstring.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Attribute, Docstring, Extension, GriffeLoader, Object

_RULE = re.compile(r"\s*=+(\s+=+)+\s*")


class Docstrings(Extension):
    """Convert docstrings, and make docstrings of the comments beside fields."""

    def on_object(self, *, obj: Object, loader: GriffeLoader, **kwargs: Any) -> None:
        """Convert the docstring of one object."""
        if isinstance(obj, Attribute) and obj.docstring is None and obj.parent is not None and obj.parent.is_class:
            _, separator, comment = obj.source.partition("  # ")
            if separator and not comment.startswith("type:"):
                obj.docstring = Docstring(comment.strip(), parent=obj)
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Return a docstring with its literal blocks and tables in Markdown."""
    lines: list[str] = []
    table: list[str] | None = None
    for line in text.splitlines():
        if _RULE.fullmatch(line):
            if table is None:
                table = [line]
            else:
                table.append(line)
                if len(table) > 2:
                    lines += _table(table)
                    table = None
        elif table is not None:
            table.append(line)
        elif line.strip() == "::":
            continue
        else:
            lines.append(line[:-1] if line.endswith("::") else line)
    return "\n".join(lines)


def _table(lines: list[str]) -> list[str]:
    """Return a simple reStructuredText table, which has no header, as a Markdown table."""
    spans = [match.span() for match in re.finditer("=+", lines[0])]
    ends = [start for start, _ in spans[1:]] + [10_000]
    rows: list[list[str]] = []
    for line in lines[1:-1]:
        cells = [line[start:end].strip() for (start, _), end in zip(spans, ends, strict=True)]
        if cells[0] or not rows:
            rows.append(cells)
        else:  # continues the row above
            rows[-1] = [f"{above} {below}".strip() for above, below in zip(rows[-1], cells, strict=True)]
    indent = lines[0][: spans[0][0]]
    head = ["|" + " |" * len(spans), "|" + "---|" * len(spans)]
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in rows]
    return ["", *(indent + line for line in [*head, *body]), ""]
