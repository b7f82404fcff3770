"""Runs a server of somebody else's on this machine until Ctrl-C, and leaves nothing of it behind."""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from nightledger.servers import processes

START_SECONDS = 120.0
STOP_SECONDS = 20.0


class PagesError(RuntimeError):
    """The pages cannot be opened; the message says why."""


class _Ended(Exception):
    """A signal asked for the end."""


@dataclass(frozen=True)
class Server:
    """What is started.

    Attributes:
        name: as people call it.
        target: of `make`, which starts it; its port is the setting `NIGHTLEDGER_<target>_PORT`.
        command: what runs; no secret is on it.
        environment: all variables that it gets.
        folder: where it runs.
        port: on 127.0.0.1.
        health: path that answers once it is up.
        greeting: what people read then.
    """

    name: str
    target: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    port: int
    health: str
    greeting: str


def refuse_taken_port(server: Server) -> None:
    """Make sure that nothing else listens there.

    Raises:
        PagesError: something does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", server.port))
        except OSError as error:
            raise PagesError(
                f"Port {server.port} is taken; choose another: "
                f"NIGHTLEDGER_{server.target.upper()}_PORT=… make {server.target}"
            ) from error


def serve(server: Server) -> None:
    """Run it until Ctrl-C or a signal, and leave no process behind.

    Raises:
        PagesError: the port is taken, or the server does not start or ends by itself.
    """
    refuse_taken_port(server)
    # A session of its own, so that all it started can be found; the signals come to us.
    process = subprocess.Popen(  # noqa: S603 - our own environments and fixed arguments
        list(server.command),
        cwd=server.folder,
        env=dict(server.environment),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    started = processes.Started.of(process.pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        _wait_until_up(server, process)
        sys.stdout.write(f"{server.greeting} (Ctrl-C ends it)\n")
        sys.stdout.flush()
        code = process.wait()
        raise PagesError(
            f"{server.name}'s server ended by itself with code {code}; its own words stand above."
        )
    except _Ended:
        sys.stdout.write(f"\n{server.name} is stopped.\n")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        processes.stop([started], STOP_SECONDS)
        process.wait()


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise _Ended


def _wait_until_up(server: Server, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{server.health}", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise PagesError(f"{server.name}'s server did not start; its own words stand above.")
