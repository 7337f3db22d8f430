"""`python -m training`."""

import sys

from common.guardian import guarded
from training.cli import main

if __name__ == "__main__":
    sys.exit(guarded(main, tell_once=True))
