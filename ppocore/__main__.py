"""``python -m ppocore``."""

import sys

from .cli import main

sys.exit(main())
