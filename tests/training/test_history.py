"""The metrics of a run of any length: what a list of them would hold, in little memory."""

import pickle
import tempfile
import tracemalloc

import pytest
from support.interrupting import SMALL

from ppocore import train
from ppocore.training import history as module
from ppocore.training.history import History


def row(number):
    return {
        "iteration": number,
        "x": number / 3,
        "none": None,
        "text": "é" * 10,
        "list": [0.1, 2.5e-310],
        "d": {"a": "f"},
    }


@pytest.fixture(params=[1 << 20, 500])
def limit(request, monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", request.param)


@pytest.mark.usefixtures("limit")
def test_it_is_a_sequence_of_what_was_appended():
    rows = [row(number) for number in range(50)]
    found = History(rows)
    assert len(found) == 50
    assert list(found) == rows == found
    assert [found[0], found[-1], found[17], found[-50]] == [rows[0], rows[-1], rows[17], rows[0]]
    assert found[3:9:2] == rows[3:9:2]
    assert found[-2:] == rows[-2:]
    found.append(row(50))
    assert found[-1] == row(50)
    assert found[49] == rows[49]
    assert pickle.loads(pickle.dumps(found)) == found
    assert found != rows
    assert not History()
    with pytest.raises(IndexError):
        found[51]


def test_a_disk_that_is_full_keeps_the_rows_in_memory(monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", 300)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    found = History(row(number) for number in range(50))
    assert list(found) == [row(number) for number in range(50)]
    monkeypatch.undo()
    for number in range(50, 200):
        found.append(row(number))
    assert list(found) == [row(number) for number in range(200)]


def test_memory_stays_flat(monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", 1 << 14)
    found = History(row(number) for number in range(2_000))
    tracemalloc.start()
    for number in range(20_000):
        found.append(row(number))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20_000 * 16 + (1 << 16)  # 8 bytes a row, with an array's room to grow, and the rows kept


def test_a_result_shows_in_a_few_lines_and_its_history_is_a_list():
    result = train("CartPole-v1", SMALL)
    assert len(repr(result)) < 600
    assert result.fingerprint in repr(result)
    assert isinstance(result.history, list)
    assert [m["iteration"] for m in result.history] == list(range(1, 13))
    assert result.history is result.history
    assert result.history[-1]["fingerprint"] == result.fingerprint
