"""The version that files are stamped with; the only place where it stands."""

VERSION = "0.1.0"
