"""The documentation matches the code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_the_settings_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_settings", ROOT / "docs" / "make_settings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "settings.md").read_text() == module.page(), "run: python docs/make_settings.py"


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")), ids=lambda p: p.name)
def test_links_and_files_that_a_page_names_exist(page):
    text = page.read_text()
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    targets += re.findall(r"`((?:docs|examples|benchmarks|tests|ppocore|backends|envs)/[\w./-]+)`", text)
    for target in targets:
        assert (page.parent / target).exists() or (ROOT / target).exists(), target


@pytest.mark.parametrize("number", range(2))
def test_the_python_of_the_readme_runs(number, tmp_path, monkeypatch):
    """The README's Python blocks, unchanged."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2, "adapt the parameters of this test"
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks[number], f"README.md block {number}", "exec"), {})


@pytest.mark.parametrize("number", range(4))
def test_the_python_of_the_page_on_callbacks_runs(number, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "callbacks.md").read_text(), re.DOTALL)
    assert len(blocks) == 4, "adapt the parameters of this test"
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks[number], f"callbacks.md block {number}", "exec"), {"__name__": "__main__"})


def test_the_first_python_of_the_page_on_environments_runs(tmp_path, monkeypatch):
    """The others need packages that are not installed here."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "environments.md").read_text(), re.DOTALL)[1]
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "environments.md", "exec"), {"__name__": "__main__"})
    assert (tmp_path / "target" / "policy.safetensors").exists()
