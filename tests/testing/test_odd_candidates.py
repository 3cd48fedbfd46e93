"""Whatever a candidate is or returns, the check ends in a report or a sentence, never in an error of its own."""

import functools
import time

import numpy as np
import pytest
import torch
from support.gae_signatures import buffer
from support.right_gae import loop

from ppocore.errors import UsageError
from ppocore.testing import check_gae, check_returns, from_dones

RESULTS = {
    "None": None,
    "a number": 3.0,
    "a string": "x",
    "an empty list": [],
    "an empty tuple": (),
    "an empty dictionary": {},
    "nested empty lists": [[]],
    "ragged lists": [[1.0], [1.0, 2.0]],
    "an object": object(),
    "a set": {1.0},
    "an array of objects": np.array([[None]]),
    "complex": np.ones((1, 1), complex),
    "flags": np.ones((1, 1), bool),
    "no dimension": np.float64(1.0),
    "a tensor": torch.zeros(1, 1),
    "a tuple of tuples": ((1.0,), (2.0,)),
    "a dictionary of numbers": {1: 2.0},
    "a dictionary of strings": {"advantages": "x"},
    "infinite": np.full((1, 1), np.inf),
    "a function": loop,
}


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("arrays", ["numpy", pytest.param("torch", marks=pytest.mark.slow)])
def test_odd_results_are_reported(name, arrays):
    report = check_gae(lambda *x, gamma, lam: RESULTS[name], arrays=arrays, max_examples=5, raise_on_failure=False)
    assert report.verdict == "failed"
    assert "Traceback" not in str(report)
    report.to_dict()


@pytest.mark.parametrize("name", ["complex", "infinite", "ragged lists", "an array of objects"])
@pytest.mark.parametrize("place", ["first", "second", "third"])
def test_odd_parts_of_results_are_reported(name, place):
    def function(*x):
        good = buffer(*x)
        odd = np.broadcast_to(RESULTS[name], good.shape) if isinstance(RESULTS[name], np.ndarray) else RESULTS[name]
        return {"first": (odd, good), "second": (good, odd), "third": (good, good + x[1], odd)}[place]

    report = check_gae(from_dones(function), max_examples=5, raise_on_failure=False)
    assert report.verdict == ("choice" if place == "third" else report.verdict)
    assert "Traceback" not in str(report)


class Callable:
    def __call__(self, rewards, values, dones, last_values, gamma, lam):
        return buffer(rewards, values, dones, last_values, gamma, lam)

    @classmethod
    def of_class(cls, rewards, values, dones, last_values, gamma, lam):
        return buffer(rewards, values, dones, last_values, gamma, lam)

    @staticmethod
    def static(rewards, values, dones, last_values, gamma, lam):
        return buffer(rewards, values, dones, last_values, gamma, lam)


@pytest.mark.parametrize(
    "function",
    [
        Callable(),
        Callable.of_class,
        Callable.static,
        functools.partial(lambda scale, rewards, values, dones, last_values, gamma, lam: buffer(
            rewards, values, dones, last_values, gamma, lam) * scale, 1.0),
        functools.lru_cache(maxsize=None)(loop).__wrapped__,
        lambda rewards, values, dones, last_values, *, gamma=0.99, gae_lambda=0.95: buffer(
            rewards, values, dones, last_values, gamma, gae_lambda),
    ],
    ids=["instance", "class method", "static method", "partial", "wrapped", "keywords alone"],
)  # fmt: skip
def test_odd_callables_are_called(function):
    check_gae(function, max_examples=5)


@pytest.mark.parametrize("function", [3, None, "json:dumps", [loop], Callable])
def test_what_is_no_function_is_one_sentence(function):
    for check in (check_gae, check_returns):
        with pytest.raises(UsageError) as caught:
            check(function)
        assert "\n" not in str(caught.value)


def test_an_interrupt_is_an_interrupt():
    def interrupted(*x, gamma, lam):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_gae(interrupted, max_examples=2)


def test_errors_that_come_with_some_rollouts_alone():
    def fails_on_three_rows(*x):
        if len(x[0]) == 3:
            raise RecursionError("too deep\nreally")
        return buffer(*x)

    report = check_gae(from_dones(fails_on_three_rows), max_examples=40, raise_on_failure=False)
    assert report.failures[0].failure.message == "it raised RecursionError: too deep really"
    assert report.failures[0].failure.trajectory.shape == (3, 1)


@pytest.mark.posix
def test_a_call_that_waits_is_not_too_slow():
    """As where other programs use the processors."""
    waited = []

    def waits(*x):
        if not waited:
            waited.append(time.sleep(0.6))
        return buffer(*x)

    check_gae(from_dones(waits), seconds=0.5, max_examples=2)


@pytest.mark.posix
def test_a_call_that_computes_for_too_long_is_interrupted():
    def computes(*x):
        began = time.process_time()
        while time.process_time() - began < 30.0:
            pass

    report = check_gae(from_dones(computes), seconds=0.2, max_examples=2, raise_on_failure=False)
    assert "it took longer than 0.2 s" in report.failures[0].failure.message
