import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest

from common.errors import PortTaken
from deployments.ports import LOOPBACK, PortClaims, choose_ports, first_free, is_free, require_free
from deployments.settings import load_settings


@pytest.fixture
def listener():
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_who_holds_it_and_what_to_do(listener):
    with pytest.raises(PortTaken) as taken:
        require_free(LOOPBACK, listener, "the service", "Use --port PORT")

    assert f"port {listener} on 127.0.0.1, for the service, is taken by " in taken.value.message
    assert f"(process {os.getpid()})" in taken.value.message
    assert taken.value.remedy == "Use --port PORT"
    assert taken.value.details == {"port": listener}


def test_a_port_that_was_only_connected_from_or_left_is_free():
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as HAProxy and Redis do
        server.bind((LOOPBACK, 0))
        port = server.getsockname()[1]
        server.listen()
        with socket.create_connection((LOOPBACK, port)) as client:
            server.accept()[0].close()  # the side that closes first keeps the connection in TIME_WAIT
            client.recv(1)

    assert is_free(LOOPBACK, port)


def test_the_search_steps_over_taken_and_given_ports(listener):
    assert first_free(LOOPBACK, listener, frozenset([listener + 1])) >= listener + 2


@pytest.fixture
def claims(tmp_path):
    """Claims of a file of its own: other runs on this machine are not to be seen."""
    with closing(PortClaims(tmp_path / "ports")) as own:
        yield own


def test_a_run_gets_four_different_free_ports(listener, claims):
    ports = choose_ports(load_settings(http_port=first_free(LOOPBACK, 9101)), claims)

    assert len({ports.http, ports.metrics, ports.stats, ports.fallback}) == 4


def test_an_inner_port_that_was_asked_for_and_is_taken_names_its_setting(listener, claims):
    settings = load_settings(http_port=first_free(LOOPBACK, 18_000), haproxy_stats_port=listener)

    with pytest.raises(PortTaken, match="set CARTCAST_HAPROXY_STATS_PORT to a free port"):
        choose_ports(settings, claims)


def test_one_port_cannot_have_two_purposes(claims):
    port = first_free(LOOPBACK, 18_000)

    with pytest.raises(PortTaken, match="two purposes"):
        choose_ports(load_settings(http_port=port, fallback_port=port), claims)


def test_two_runs_that_start_together_choose_different_ports(tmp_path, claims):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from deployments.ports import PortClaims, choose_ports\n"
        "from deployments.settings import load_settings\n"
        "claims = PortClaims(Path(sys.argv[1]))\n"
        "print(*vars(choose_ports(load_settings(http_port=int(sys.argv[2])), claims)).values(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    http = first_free(LOOPBACK, 18_000)
    command = [sys.executable, "-c", program, str(tmp_path / "ports"), str(http)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        theirs = {int(port) for port in other.stdout.readline().split()}

        with pytest.raises(PortTaken, match=f"port {http} is claimed by another run that is starting"):
            choose_ports(load_settings(http_port=http), claims)
        ours = set(vars(choose_ports(load_settings(http_port=first_free(LOOPBACK, http + 1)), claims)).values())
        other.communicate()

    assert len(theirs) == len(ours) == 4
    assert theirs & ours == set()
    assert choose_ports(load_settings(http_port=http), claims).http == http  # theirs ended with their process
