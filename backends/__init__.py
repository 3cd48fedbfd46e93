"""The backends: each supplies the network, the log-prob ratio, the clipped loss and the optimizer.

Importing this package imports none of them; `ppocore.backend.backend_factory` finds one by name.
"""
