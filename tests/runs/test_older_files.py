"""Runs that older versions wrote are read, resumed and compared."""

import json
import shutil
from pathlib import Path

import pytest
from support.interrupting import rows

from ppocore import resume
from ppocore.runs import compare, encode_checkpoint, read_checkpoint, read_configuration

DATA = Path(__file__).with_name("data")
# By the version that wrote them, runs of the same settings that were never interrupted.
FINGERPRINTS = {
    "adaptive-rate": "50216d622b55144d0b0d0b453147a3c7fd5a565dc5fd808e1a888e93b6106a6b",
    "penalty": "dfa84f19517d8f8efe842659dc265678d76f388dc50e7d0028d761ed36583d50",
}


@pytest.fixture
def old(tmp_path):
    def copy(name):
        shutil.copytree(DATA / name, tmp_path / name)
        return tmp_path / name

    return copy


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_run_of_version_1_is_resumed_to_its_fingerprint(name, old):
    run = old(name)
    before = rows(run)
    result = resume(run)
    assert result.fingerprint == FINGERPRINTS[name]
    assert rows(run)[:6] == before
    assert [row["iteration"] for row in rows(run)] == list(range(1, 13))


def test_settings_have_their_current_names(old):
    rate, penalty = (read_configuration(old(name)) for name in FINGERPRINTS)
    assert rate.config.adaptive_lr_kl == 0.003
    assert rate.recorded_runtime().env_timeout == 60.0
    assert penalty.config.kl_penalty_target == 0.001
    assert penalty.recorded_runtime().threads == 2
    assert read_checkpoint(DATA / "penalty" / "run-000000000384.safetensors").config() == penalty.config


def test_the_configuration_is_written_with_current_names(old):
    run = old("adaptive-rate")
    resume(run, runtime={"env_timeout": 90.0})
    written = json.loads((run / "config.json").read_text())
    assert written["runtime"]["env_timeout"] == 90.0
    assert not {"desired_kl", "env_timeout", "threads", "vectorization"} & set(written["config"])
    assert read_configuration(run).config.adaptive_lr_kl == 0.003


def test_an_old_run_is_compared_with_a_current_one(old):
    old_run, new_run = old("penalty"), old("adaptive-rate")
    resume(new_run)
    found = compare([old_run, new_run])
    assert set(found.summary()["comparisons"][0]["differences"]) >= {"objective", "adaptive_lr_kl"}


def test_what_is_read_is_written_as_version_2_and_read_again(tmp_path):
    snapshot = read_checkpoint(DATA / "penalty" / "run-000000000384.safetensors")
    path = tmp_path / "new.safetensors"
    path.write_bytes(encode_checkpoint(snapshot))
    again = read_checkpoint(path)
    assert again.config() == snapshot.config()
    assert {k: v for k, v in again.description.items() if k != "version"} == {
        k: v for k, v in snapshot.description.items() if k != "version"
    }
    assert b'"version\\": 2' in path.read_bytes()[:8000]
