"""`python -m training`."""

import sys

from common.guardian import guarded


def work() -> int:
    """Run the command; what it imports takes a while, and Ctrl-C meanwhile is no error."""
    try:
        from training.cli import main
    except KeyboardInterrupt:
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(guarded(work, tell_once=True))
