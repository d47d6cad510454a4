"""``python -m costlens``."""

import sys

from costlens.cli import main

sys.exit(main())
