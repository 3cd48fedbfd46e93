"""List the known mistakes of advantage code; a diagnosis compares a candidate with each, and with two at once."""

from ppocore.testing.gae.defects import bootstraps, discounts, rows  # noqa: F401, which register what they list
from ppocore.testing.gae.defects.calls import INTEGERS, OF_INVALID_ROWS, written_to
from ppocore.testing.gae.defects.registry import DEFECTS, Defect, implementation

__all__ = ["DEFECTS", "INTEGERS", "OF_INVALID_ROWS", "Defect", "implementation", "written_to"]
