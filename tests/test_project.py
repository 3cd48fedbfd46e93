"""The files about the project agree with each other and with the code."""

import ast
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ppocore
from ppocore import errors

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def nav():
    """The pages that mkdocs.yml lists."""
    return re.findall(r"^ +- .*?(\S+\.md)$", text_of("mkdocs.yml").partition("\nnav:\n")[2], re.MULTILINE)


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("mkdocs_hooks", ROOT / "docs" / "mkdocs_hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_citation_is_of_this_version():
    assert re.findall(r"^version: (.*)$", text_of("CITATION.cff"), re.MULTILINE) == [ppocore.__version__]


def test_the_changelog_has_this_version_and_what_is_unreleased():
    changelog = text_of("CHANGELOG.md")
    sections = re.findall(r"^## \[(.*?)\]", changelog, re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert ppocore.__version__ in sections
    assert re.findall(r"^\[(.*?)\]: ", changelog, re.MULTILINE) == sections


def test_the_repository_has_one_address():
    assert PROJECT["urls"]["Homepage"] == REPOSITORY
    for name in ("CITATION.cff", "CHANGELOG.md", "mkdocs.yml", ".github/ISSUE_TEMPLATE/config.yml"):
        found = re.findall(r"https://github\.com/[\w-]+/ppocore", text_of(name))
        assert found, name
        assert set(found) == {REPOSITORY}, name


def test_every_page_is_in_the_navigation_of_the_site_once(hooks):
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    assert sorted(nav()) == sorted([*pages, *hooks.PAGES.values()])


def test_every_public_name_is_in_the_reference():
    reference = "\n".join(text_of(f"docs/{page}") for page in nav() if page.startswith("api/"))
    documented = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)$", reference, re.MULTILINE)}
    missing = set(ppocore.__all__) - documented - {"__version__", "RolloutBuffer"}  # the trainer's own
    assert missing == set()


@pytest.mark.parametrize(
    ("link", "source", "expected"),
    [
        ("docs/settings.md", "README.md", "settings.md"),
        ("docs/cartpole.png", "README.md", "cartpole.png"),
        ("ARCHITECTURE.md", "README.md", "architecture.md"),
        ("../ARCHITECTURE.md#checks", "docs/results.md", "architecture.md#checks"),
        ("run-files.md", "docs/resuming.md", "run-files.md"),
        ("../settings.md", "docs/api/training.md", "../settings.md"),
        ("ppocore/errors.py", "CONTRIBUTING.md", f"{REPOSITORY}/blob/main/ppocore/errors.py"),
        ("https://keepachangelog.com", "CHANGELOG.md", "https://keepachangelog.com"),
        ("#systems", "CONTRIBUTING.md", "#systems"),
    ],
)
def test_links_lead_to_pages_of_the_site_or_to_the_repository(link, source, expected, hooks):
    assert hooks.with_links(f"see [this]({link}).", source, REPOSITORY) == f"see [this]({expected})."


def test_everything_that_an_extra_needs_has_an_exact_version():
    lines = [line for line in text_of("constraints.txt").splitlines() if not line.startswith("#")]
    pinned = {canonicalize_name(Requirement(line).name) for line in lines}
    assert all(str(Requirement(line).specifier).startswith("==") for line in lines)
    listed = [
        *PROJECT["dependencies"],
        *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
    ]
    assert {canonicalize_name(Requirement(line).name) for line in listed} - pinned == set()


def test_the_versions_of_python_that_are_claimed_are_tested():
    claimed = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if ":: Python :: 3." in line]
    (tested,) = re.findall(r"python: (\[.*\])", text_of(".github/workflows/tests.yml"))
    assert ast.literal_eval(tested) == claimed
    assert PROJECT["requires-python"] == f">={claimed[0]}"


def test_the_tree_of_errors_is_the_one_drawn():
    drawn = dict(re.findall(r"^ *(?:\+-- )?(\w+)\((.*?)\)  ", errors.__doc__, re.MULTILINE))
    defined = {
        name: ", ".join(base.__name__ for base in value.__bases__)
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert drawn == defined
