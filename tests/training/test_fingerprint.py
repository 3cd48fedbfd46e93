"""The fingerprint depends on every bit of a run's state and on nothing else."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ppocore.training import fingerprint

STATE = {
    "b": np.array([[1.5, -2.0], [0.0, 3.25]], np.float32),
    "a": np.array([-0.0, 1e-45, np.inf], np.float32),
    "adam.step": np.array(258, np.int64),
}
COUNTERS = {"steps": 1000, "iterations": 7}


def test_it_is_sha_256_over_the_documented_text_and_bytes():
    content = (
        b"a float32 (3,)\n" + bytes.fromhex("00000080 01000000 0000807f")  # -0.0, the smallest number, infinity
        + b"adam.step int64 ()\n" + bytes.fromhex("02010000 00000000")
        + b"b float32 (2, 2)\n" + bytes.fromhex("0000c03f 000000c0 00000000 00005040")
        + b"iterations 7\nsteps 1000\n"
    )  # fmt: skip
    assert fingerprint(STATE, COUNTERS) == hashlib.sha256(content).hexdigest()


@given(st.permutations(list(STATE)), st.permutations(list(COUNTERS)))
def test_the_order_of_names_does_not_count(names, counters):
    state = {name: STATE[name] for name in names}
    assert fingerprint(state, {name: COUNTERS[name] for name in counters}) == fingerprint(STATE, COUNTERS)


def test_memory_layout_and_byte_order_do_not_count():
    layouts = [
        {**STATE, "b": np.asfortranarray(STATE["b"])},
        {**STATE, "b": np.repeat(np.repeat(STATE["b"], 2, axis=0), 3, axis=1)[::2, ::3]},
        {**STATE, "b": STATE["b"].astype(">f4"), "adam.step": STATE["adam.step"].astype(">i8")},
    ]
    assert {fingerprint(state, COUNTERS) for state in layouts} == {fingerprint(STATE, COUNTERS)}


def test_flipping_any_single_bit_of_any_tensor_changes_it():
    seen = {fingerprint(STATE, COUNTERS)}
    flips = 0
    for name, array in STATE.items():
        for bit in range(8 * array.nbytes):
            content = bytearray(array.tobytes())
            content[bit // 8] ^= 1 << bit % 8
            flipped = np.frombuffer(bytes(content), array.dtype).reshape(array.shape)
            seen.add(fingerprint({**STATE, name: flipped}, COUNTERS))
            flips += 1
    assert (len(seen), flips) == (1 + flips, 8 * (16 + 12 + 8))


def test_names_shapes_dtypes_and_counters_all_count():
    other = dict(STATE)
    del other["a"]
    variants = [
        (STATE, COUNTERS),
        (other, COUNTERS),
        ({**other, "c": STATE["a"]}, COUNTERS),
        ({**STATE, "a": STATE["b"], "b": STATE["a"]}, COUNTERS),
        ({**STATE, "b": STATE["b"].reshape(4)}, COUNTERS),
        ({**STATE, "b": STATE["b"].reshape(1, 4)}, COUNTERS),
        ({**STATE, "b": STATE["b"].astype(np.float64)}, COUNTERS),
        ({**STATE, "b": STATE["b"].view(np.int32)}, COUNTERS),
        (STATE, {**COUNTERS, "steps": 1001}),
        (STATE, {**COUNTERS, "updates": 0}),
        (STATE, {"steps": 7, "iterations": 1000}),
        (STATE, {}),
    ]
    assert len({fingerprint(state, counters) for state, counters in variants}) == len(variants)
