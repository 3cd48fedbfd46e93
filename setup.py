"""What pyproject.toml cannot say: which packages there are, and the README with links that lead somewhere from PyPI."""

import posixpath
import re
import tomllib
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def packages() -> list[str]:
    """Every package of ppocore; backends/ and envs/ stand beside it and install inside it."""
    beside = [f"ppocore.{name}" for name in find_packages(str(ROOT), include=["backends*", "envs*"])]
    return [*find_packages(str(ROOT), include=["ppocore*"]), *beside]


def readme() -> str:
    """The README; its links to files of the repository lead to the repository's address."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    repository = project["urls"]["Repository"]

    def lead(match: re.Match[str]) -> str:
        # GitHub's "raw" redirects to the file itself, which an image needs to be.
        kind = "raw" if match[1] == "!" else "blob"
        return f"{match[1]}{match[2]}({repository}/{kind}/main/{posixpath.normpath(match[3])})"

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.sub(r"(!?)(\[[^\]]*\])\((?![a-z]+:|#)([^)\s]+)\)", lead, text)


setup(packages=packages(), long_description=readme(), long_description_content_type="text/markdown")
