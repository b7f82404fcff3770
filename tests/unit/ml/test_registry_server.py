"""The registry on a real MLflow server, in the environment that `make mlflow` makes."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from ml.registry import Registry
from nightledger.settings import PROJECT, Settings

SERVER = PROJECT / ".venv-mlflow" / "bin" / "mlflow"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a server with nothing in it listens."""
    if not SERVER.exists():
        pytest.skip("`make mlflow` makes the environment of MLflow's server")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    store = f"sqlite:///{tmp_path}/server.db"
    command = [str(SERVER), "server", "--port", str(port), "--backend-store-uri", store, "--workers", "1"]
    running = subprocess.Popen([*command, "--artifacts-destination", str(tmp_path / "artifacts")])
    for _ in range(600):
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    running.terminate()
    running.wait(30)


@pytest.mark.slow
def test_a_server_keeps_versions_like_a_file(address: str, tmp_path: Path) -> None:
    """Catches a source that a server refuses: every training there would fail after hours."""
    shelf = Registry(Settings(home=tmp_path / "home", registry_uri=address, _env_file=None))
    files = {"model.json": b"{}", "model.ubj": b"trees"}
    saved = shelf.save(
        "churn",
        "v1",
        files,
        pa.table({"score": [0.1]}),
        {"rows": 3},
        {"ap": 0.4},
        {"model_card.md": "# Card"},
    )
    shelf.judge(saved, "champion", "it is the first")
    shelf.align("churn", "v1", None)
    champion = shelf.champion("churn")
    assert champion is not None
    assert (champion.version, champion.verdict) == ("v1", "champion")
    assert shelf.files("churn", "v1") == files
    assert shelf.document("churn", "v1", "model_card.md") == "# Card"
    assert shelf.parameters("churn", "v1") == {"rows": "3"}
