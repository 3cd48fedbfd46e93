"""The advantages of other libraries, one module a library, behind one signature.

A module raises `ImportError` where its library is not installed, and otherwise has

=========== ==========================================================================================
NAME        what the library is called
PACKAGE     its name for `importlib.metadata.version`
CONVENTIONS what its own training does at the places where libraries differ, and what the adapter chose
gae         (rewards, values, next_values, terminated, truncated, gamma, lam), arrays (T, N), to
            (advantages, returns), NumPy arrays (T, N); the arguments are not written to
VARIANTS    a description to a function like `gae`, `gae` among them
=========== ==========================================================================================

The library's own code computes the advantages, called as its own training calls it. Where that code takes the value
of the observation after a reset, it is the next row's value, as in a rollout.
"""
