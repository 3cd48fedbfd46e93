"""The list of surviving mutants refers to existing code, and its page is up to date."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").is_file())


@pytest.fixture
def survivors(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield importlib.import_module("survivors")
    for name in ("survivors", "mutants"):
        sys.modules.pop(name, None)


def test_every_survivor_is_a_change_of_code_that_is_there(survivors):
    modules = survivors.load()
    assert sum(len(module.survivors) for module in modules.values()) > 50
    for module in modules.values():
        assert survivors.unknown(module) == [], f"{survivors.DATA.name}: {module.file} has no such statement"


def test_every_survivor_has_a_reason_and_is_listed_once(survivors):
    for module in survivors.load().values():
        assert all(survivor.reason.endswith(".") for survivor in module.survivors)
        changes = [survivor.change for survivor in module.survivors]
        assert len(changes) == len(set(changes))


def test_the_page_is_up_to_date(survivors):
    text = survivors.PAGE.read_text(encoding="utf-8")
    assert text == survivors.page(text), "run: python benchmarks/mutation.py --page"


def test_a_statement_that_changes_is_noticed(survivors, monkeypatch, tmp_path):
    module = survivors.load()["standardize"]
    changed = tmp_path / "standardize.py"
    changed.write_text(module.file.read_text().replace("if mask is None:", "if None is mask:"))
    moved = type(module)(module.name, changed, module.tests, module.mutants, module.survivors)
    (missing,) = survivors.unknown(moved)
    assert (missing.function, missing.before) == ("_where_valid", "if mask is None:")
