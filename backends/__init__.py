"""Provide the built-in backends, each of which implements the network, the loss and the optimizer step.

Importing this package imports none of them; `ppocore.registry.backend_factory` imports one by name.
"""
