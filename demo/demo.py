#!/usr/bin/env python3
"""`demo/demo.py`: shows the tour from a checkout, wherever it is started."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # in place of demo/ itself

from demo.tour import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
