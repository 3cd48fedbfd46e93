"""Run the command line as ``python -m ppocore``."""

import sys

from ppocore.cli.parser import main

sys.exit(main())
