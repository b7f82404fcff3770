"""MLflow's pages: what the server is told, and that nothing of it stays behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nightledger.servers import mlflow_pages
from nightledger.servers.mlflow_pages import PagesError, environment, serve

SERVER = """#!{python}
import http.server, json, os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
told = {{name: value for name, value in os.environ.items() if name.startswith("MLFLOW")}}
told.update(child=child.pid, arguments=sys.argv[1:])
open({said!r}, "w").write(json.dumps(told))
class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["MLFLOW_PORT"])), Pages).serve_forever()
"""
"""Stands for MLflow's server, which tests have no environment for: answers, and has a child as it has."""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_registry(settings):
    settings.registry.mkdir(parents=True)
    (settings.registry / "mlflow.db").write_bytes(b"")
    return settings


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_all_that_it_started(settings, tmp_path: Path, port: int, number: int) -> None:
    """Catches a server, or its worker, that keeps port and registry after Ctrl-C."""
    with_registry(settings)
    said = tmp_path / "said.json"
    script = tmp_path / "mlflow"
    script.write_text(SERVER.format(python=sys.executable, said=str(said)))
    script.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from nightledger.servers import mlflow_pages as pages;"
        f"pages.SERVER = Path({str(script)!r}); sys.exit(pages.main())"
    )
    variables = {"NIGHTLEDGER_HOME": str(settings.home), "NIGHTLEDGER_MLFLOW_PORT": str(port)}
    pages = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert pages.stdout is not None
    assert f"http://127.0.0.1:{port}/#/models" in pages.stdout.readline()
    started = psutil.Process(pages.pid).children(recursive=True)
    assert len(started) == 2
    told = json.loads(said.read_text())
    assert told["arguments"] == ["server"]
    assert told["MLFLOW_ARTIFACTS_DESTINATION"] == str(settings.registry)
    pages.send_signal(number)
    assert "MLflow is stopped." in pages.stdout.read()
    assert pages.wait(timeout=30) == 0
    assert not [process for process in started if process.is_running() and process.status() != "zombie"]


def test_the_server_listens_here_only_and_phones_nobody(settings) -> None:
    """Catches pages that the whole network sees, telemetry, and a password on a command line."""
    given = environment(with_registry(settings))
    assert given["MLFLOW_HOST"] == "127.0.0.1"
    assert given["MLFLOW_DISABLE_TELEMETRY"] == given["DO_NOT_TRACK"] == "true"
    assert given["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert given["MLFLOW_BACKEND_STORE_URI"] == settings.registry_uri
    assert given["MLFLOW_ARTIFACTS_DESTINATION"] == str(settings.registry)


def test_without_a_registry_nothing_is_made(settings) -> None:
    """Catches a question that leaves an empty registry, which looks like one that lost its models."""
    with pytest.raises(PagesError, match="Nothing has been trained"):
        serve(settings)
    assert not settings.registry.exists()


def test_a_port_that_is_taken_is_named(settings) -> None:
    """Catches a page of another program shown as the registry."""
    with_registry(settings)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings.mlflow_port = other.getsockname()[1]
        with pytest.raises(PagesError, match=f"Port {settings.mlflow_port} is taken"):
            serve(settings)


def test_a_registry_of_its_own_is_pointed_to_without_its_password(monkeypatch, capsys) -> None:
    """Catches a second server beside the bank's own, and credentials in a terminal."""
    monkeypatch.setenv("NIGHTLEDGER_REGISTRY_URI", "https://me:s3cret@mlflow.bank.example:8443")
    assert mlflow_pages.main() == 0
    said = capsys.readouterr().out
    assert "https://mlflow.bank.example:8443" in said
    assert "s3cret" not in said
