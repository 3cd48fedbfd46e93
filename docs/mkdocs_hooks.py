"""Add the pages outside docs/ to the site, and adapt links between files (hooks of mkdocs).

README.md, ARCHITECTURE.md and the like stay at the root of the repository, with links between files. On the site they
are pages, too: a link to one of them leads to its page, a link to any other file leads to the repository.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Files outside docs/, and their pages."""

_LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages outside docs/."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point every link to a page of the site, or else to the file in the repository."""
    sources = {made: source for source, made in PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    return with_links(markdown, source, config["repo_url"])


def with_links(markdown: str, source: str, repository: str) -> str:
    """Return the text of the file ``source`` with links for the site.

    Args:
        markdown: the text.
        source: its path in the repository, which its links are relative to.
        repository: the address of the repository.
    """
    folder = posixpath.dirname(source)
    here = posixpath.dirname(PAGES.get(source, source.removeprefix("docs/")))

    def lead(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[2]))
        if target in PAGES:
            target = PAGES[target]
        elif target.startswith("docs/"):
            target = target.removeprefix("docs/")
        else:
            return f"{match[1]}{repository}/blob/main/{target}"
        return match[1] + posixpath.relpath(target, here or ".")

    return _LINK.sub(lead, markdown)
