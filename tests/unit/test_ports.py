import os
import socket

import pytest

from common.errors import PortTaken
from deployments.ports import LOOPBACK, choose_ports, first_free, is_free, require_free
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


def test_a_run_gets_four_different_free_ports(listener):
    ports = choose_ports(load_settings(http_port=first_free(LOOPBACK, 9101)))

    assert len({ports.http, ports.metrics, ports.stats, ports.fallback}) == 4


def test_an_inner_port_that_was_asked_for_and_is_taken_names_its_setting(listener):
    settings = load_settings(http_port=first_free(LOOPBACK, 18_000), haproxy_stats_port=listener)

    with pytest.raises(PortTaken, match="set CARTCAST_HAPROXY_STATS_PORT to a free port"):
        choose_ports(settings)


def test_one_port_cannot_have_two_purposes():
    port = first_free(LOOPBACK, 18_000)

    with pytest.raises(PortTaken, match="two purposes"):
        choose_ports(load_settings(http_port=port, fallback_port=port))
