"""A ``metrics.jsonl`` of any size is read and written line by line."""

import json
import tracemalloc

import pytest
from support.interrupting import SMALL, StopAfter, contents, whole

from ppocore import resume, train
from ppocore.errors import UsageError
from ppocore.files import read_lines_of, regular
from ppocore.reporting import jsonl
from ppocore.runs import compare


@pytest.fixture
def small_limit(monkeypatch):
    """Take lines of at most 10,000 bytes, less than the files have."""

    def lines(path, file):
        return read_lines_of(path, file, 10_000)

    for module in (regular, jsonl):
        monkeypatch.setattr(module, "read_lines_of", lines)


def test_a_run_is_resumed_and_ends_however_large_its_metrics_are(tmp_path, small_limit):
    expected = whole(tmp_path, "CartPole-v1", SMALL)
    run = tmp_path / "run"
    train("CartPole-v1", SMALL, seed=5, run_dir=run, reporters=[StopAfter(9)])
    assert (run / "metrics.jsonl").stat().st_size > 10_000
    (tmp_path / "link").hardlink_to(run / "metrics.jsonl")
    resume(run)
    assert contents(run) == expected
    assert compare([tmp_path / "whole", run]).equal


def test_a_line_that_is_too_long_is_refused(tmp_path, small_limit):
    run = tmp_path / "run"
    train("CartPole-v1", SMALL, seed=5, run_dir=run, reporters=[StopAfter(3)])
    with open(run / "metrics.jsonl", "ab") as file:
        file.truncate(2**40)  # no line ends in it
    with pytest.raises(UsageError, match=r"line 4 of .*metrics\.jsonl is longer than the 10000 bytes that are read"):
        resume(run)


def numbered(numbers, size=0):
    return "".join(json.dumps({"iteration": number, "x": "y" * size}) + "\n" for number in numbers)


@pytest.mark.parametrize(
    ("numbers", "history", "kept"),
    [
        ([1, 2, 3], [], [1, 2, 3]),
        ([3, 1, 2], [], [1, 2, 3]),
        ([1, 2, 2, 3, 4, 5], [], [1, 2, 3]),
        ([1, 3], [2, 3, 4], [1, 2, 3]),
        ([], [1, 2], [1, 2]),
        ([4], [], []),
    ],
)
def test_the_lines_that_are_kept(numbers, history, kept, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(numbered(numbers))
    before = path.stat()
    jsonl.keep_lines(path, 3, [{"iteration": number, "x": ""} for number in history])
    assert path.read_text() == numbered(kept)
    assert (path.stat().st_ino == before.st_ino) == (numbers == kept)  # written only if it changes


def test_the_end_of_a_file_that_was_cut_off_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(numbered([1, 2]) + '{"iteration": 3')
    jsonl.keep_lines(path, 9)
    assert path.read_text() == numbered([1, 2])


def test_the_memory_that_is_taken_is_that_of_a_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(numbered(range(2, 202), 10**5) + numbered([1]))  # 20 MB, out of order
    tracemalloc.start()
    try:
        jsonl.keep_lines(path, 300)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.read_text() == numbered([1]) + numbered(range(2, 202), 10**5)
    assert peak < 4 * 10**6
