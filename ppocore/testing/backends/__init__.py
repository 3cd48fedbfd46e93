"""Check that a backend computes what the NumPy oracle computes.

``check`` is the entry; ``strategies`` draw problems, ``properties`` lists what must hold, ``comparison`` compares a
backend's numbers with the oracle's, and ``error_bounds`` computes how far rounding may move each of them.
"""
