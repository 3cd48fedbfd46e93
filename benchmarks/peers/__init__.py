"""Compute advantages with other libraries behind one signature, in one module per library.

A module raises ``ImportError`` if its library is not installed. Otherwise it has

=========== ==========================================================================================
NAME        the name of the library
PACKAGE     its name for ``importlib.metadata.version``
CONVENTIONS what its own training does where libraries differ, and what the adapter chose
gae         (rewards, values, next_values, terminated, truncated, gamma, lam), arrays (T, N), to
            (advantages, returns), NumPy arrays (T, N); the arguments are not modified
VARIANTS    a dict from a description to a function like ``gae``, including ``gae``
=========== ==========================================================================================

The library's own code computes the advantages, called as its own training calls it. If that code takes the value of the
observation after a reset, it gets the value of the next row, as in a rollout.
"""
