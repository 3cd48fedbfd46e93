"""Run the command line as ``python -m ppocore``."""

import sys

from ppocore.cli import main

sys.exit(main())
