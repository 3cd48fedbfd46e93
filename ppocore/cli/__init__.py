"""Provide the command line."""

from ppocore.cli.program import main

__all__ = ["main"]
