from pathlib import Path

from deployments.haproxy_launcher import corrected
from deployments.loopback import loopback_address

# as Serve of Ray 2.60 writes it
WRITTEN = """\
global
    log 127.0.0.1:514 local0 info
    stats socket /run/admin.sock mode 666 level admin expose-fd listeners
defaults
    mode http
    errorfile 502 /run/500.http
    errorfile 503 /run/500.http
    balance leastconn
frontend prometheus
    bind :9101
frontend http_frontend
    bind 127.0.0.1:8000
backend http-cartcast
    server one 127.0.0.1:30000 check
listen stats
  bind *:8404
  stats enable
"""


def test_only_the_frontend_is_public():
    text = corrected(WRITTEN, "10.0.0.1", [])

    bound = [line.split()[1] for line in text.splitlines() if line.split()[0] == "bind"]
    assert bound == ["127.0.0.1:9101", "10.0.0.1:8000", "127.0.0.1:8404"]


def test_nothing_is_public_unless_asked_for():
    text = corrected(WRITTEN, "127.0.0.1", [])

    assert text.count("bind 127.0.0.1:") == 3
    assert "mode 600 level admin" in text


def test_error_pages_are_ours():
    text = corrected(WRITTEN, "127.0.0.1", [Path("/pages/400.http"), Path("/pages/503.http")])

    pages = [line.split()[1:] for line in text.splitlines() if "errorfile" in line]
    assert pages == [["400", "/pages/400.http"], ["503", "/pages/503.http"]]
    assert text.index("errorfile") > text.index("defaults\n")


def test_requests_are_logged_only_where_somebody_asked_for_it():
    asked = WRITTEN.replace("127.0.0.1:514", "/dev/log")

    assert "local0" not in corrected(WRITTEN, "127.0.0.1", [])
    assert "    log /dev/log local0 info\n" in corrected(asked, "127.0.0.1", [])


def test_a_correction_can_be_repeated():
    once = corrected(WRITTEN, "10.0.0.1", [Path("/pages/503.http")])

    assert corrected(once, "10.0.0.1", [Path("/pages/503.http")]) == once


def test_replicas_listen_on_loopback_instead_of_everywhere():
    assert loopback_address("[::]:0") == "127.0.0.1:0"
    assert loopback_address("0.0.0.0:9000") == "127.0.0.1:9000"
    assert loopback_address("10.0.0.1:9000") == "10.0.0.1:9000"
