"""``python -m dotpt``: the same as the command ``dotpt``."""

from __future__ import annotations

import sys

from dotpt.cli import main

if __name__ == "__main__":
    sys.exit(main())
