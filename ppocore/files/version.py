"""The version that files are stamped with; the only place where it stands."""

__version__ = "0.1.0"
