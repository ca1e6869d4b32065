"""A port for a server that binds it only later."""

from __future__ import annotations

import secrets
import socket


def free_port() -> int:
    """A free port below those that the system gives to outgoing connections: in the seconds until the server binds it,
    no connection of a browser can come to lie on it."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
