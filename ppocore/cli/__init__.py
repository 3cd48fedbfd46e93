"""Provide the command line."""

from ppocore.cli.parser import main

__all__ = ["main"]
