"""Folders that the tests share."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
WORK = TARGET / "system"
"""What `install` has installed."""
CACHE = TARGET / "ci"
"""The packages under test, the base system of the container, and logs."""
