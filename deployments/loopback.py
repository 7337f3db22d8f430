"""Keeps the replicas of a one-machine cluster on loopback.

With RAY_SERVE_THROUGHPUT_OPTIMIZED, replicas call each other by gRPC on ports that Ray 2.60 binds to all interfaces
("[::]:0" in `ray/serve/_private/replica.py`, no setting), and what arrives there is unpickled. Where all replicas are
on one machine nobody else needs these ports.
"""

ALL_INTERFACES = ("[::]", "0.0.0.0", "")  # noqa: S104 - these are what is refused


def bind_replicas() -> None:
    """Make gRPC servers of this process listen on loopback; Ray calls it first thing in every worker."""
    from ray._common import tls_utils

    bind = tls_utils.add_port_to_grpc_server

    def bind_to_loopback(server: object, address: str) -> int:
        return int(bind(server, loopback_address(address)))

    tls_utils.add_port_to_grpc_server = bind_to_loopback


def loopback_address(address: str) -> str:
    """`address`, with 127.0.0.1 in place of "all interfaces"."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ALL_INTERFACES else address
