"""Runs in HAProxy's place for a moment, puts its configuration right for one machine, and becomes HAProxy.

    haproxy_launcher.py HAPROXY PUBLIC_HOST ERROR_PAGES ... -f CONFIGURATION ...

It is started with every reload, so it imports little: no site-packages, nothing of ours.
"""

import ctypes
import os
import re
import signal
import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"
PR_SET_PDEATHSIG = 1


def corrected(configuration: str, public_host: str, error_pages: list[Path]) -> str:
    """Serve's configuration with every port on loopback but the public one, our error pages, and no log to nobody.

    Serve binds its metrics and statistics ports to all interfaces (`bind :9101`, `bind *:8404`), and the frontend
    to the host that the replicas listen on too, which here is loopback.
    """
    text = re.sub(r"^(\s*bind) \*?:(\d+)", rf"\1 {LOOPBACK}:\2", configuration, flags=re.MULTILINE)
    text = re.sub(rf"^(frontend http_frontend\n\s*bind) {LOOPBACK}:", rf"\1 {public_host}:", text, flags=re.MULTILINE)
    text = re.sub(r"^(\s*stats socket .*) mode 666 ", r"\1 mode 600 ", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*errorfile .*\n", "", text, flags=re.MULTILINE)
    # where nobody listens unless asked: a line per request there cost 15 of an echo's 300 us
    text = re.sub(r"^\s*log 127\.0\.0\.1:514 .*\n", "", text, flags=re.MULTILINE)
    pages = "".join(f"    errorfile {page.stem} {page}\n" for page in error_pages)
    return re.sub(r"^defaults\n", f"defaults\n{pages}", text, count=1, flags=re.MULTILINE)


def main(haproxy: str, public_host: str, error_pages: str, *arguments: str) -> None:
    """Correct the file after `-f`, then become HAProxy."""
    if "-f" in arguments:
        file = Path(arguments[arguments.index("-f") + 1])
        pages = sorted(Path(error_pages).glob("*.http"))
        file.write_text(corrected(file.read_text(encoding="utf-8"), public_host, pages), encoding="utf-8")
    # an HAProxy whose actor was killed would hold the ports for ever
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.execv(haproxy, [haproxy, *arguments])  # noqa: S606 - it must be this very process


if __name__ == "__main__":
    main(*sys.argv[1:])
