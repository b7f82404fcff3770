"""Superset's start and stop: what it is told, and that nothing of it stays behind."""

import json
import os
import socket
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from nightledger.servers import superset_pages
from nightledger.servers.superset_pages import PagesError

SCRIPT = """#!{python}
import http.server, json, os, pathlib, subprocess, sys, time
home = pathlib.Path(os.environ["NIGHTLEDGER_HOME"])
command = sys.argv[3]
told = {{name: value for name, value in os.environ.items() if name.startswith(("NIGHTLEDGER", "PYTHON"))}}
(home / "superset" / f"told-{{command}}.json").write_text(json.dumps(told))
if command == "prepare":
    if (home / "wrong").exists():
        sys.exit("01_executive.yml: at-risk: there is no column revenue")
    print("  Superset: bringing in dashboards …"); print("noise of Superset")
    (home / "superset" / "prepared").write_text((home / "git").read_text())
elif command == "refresh":
    if (home / "slow").exists(): time.sleep(600)
    print("  Superset: 12 answers computed")
else:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (home / "child").write_text(str(child.pid))
    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()
        def log_message(self, *_): pass
    http.server.HTTPServer(("127.0.0.1", int(os.environ["NIGHTLEDGER_SUPERSET_PORT"])), Pages).serve_forever()
"""
"""Stands for Superset's environment, which unit tests have not: tests/superset runs the real one."""


@pytest.fixture
def superset(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An installation with a publication, and something in Superset's place."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings.superset_port = int(probe.getsockname()[1])
    (settings.builds / "2026-06-30.1").mkdir(parents=True)
    (settings.builds / "current").symlink_to("2026-06-30.1")
    (settings.home / "git").write_text("one")
    script = tmp_path / "python"
    script.write_text(SCRIPT.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setattr(superset_pages, "PYTHON", script)
    yield settings
    superset_pages.down(settings)


def test_it_starts_once_and_stops_with_all_that_it_started(superset, capsys: pytest.CaptureFixture) -> None:
    """Catches a second server, a worker that outlives `make down`, and words that say something else."""
    assert not superset_pages.status(superset)
    superset_pages.up(superset)
    child = int((superset.home / "child").read_text())
    superset_pages.up(superset)
    assert int((superset.home / "child").read_text()) == child
    assert superset_pages.status(superset)
    said = capsys.readouterr().out
    assert "bringing in dashboards" in said
    assert "noise" not in said
    assert "superset-passwords.json" in said
    assert "running already" in said
    superset_pages.down(superset)
    assert not psutil.pid_exists(child)
    assert not superset_pages.status(superset)


def test_it_names_the_setting_where_the_password_was_given(superset, capsys: pytest.CaptureFixture) -> None:
    """Catches people who are sent to a file that nobody wrote."""
    superset.superset_admin_password = SecretStr("given")
    for _ in range(2):
        superset_pages.up(superset)
        said = capsys.readouterr().out
        assert "NIGHTLEDGER_SUPERSET_ADMIN_PASSWORD" in said
        assert "superset-passwords.json" not in said
        assert "given" not in said


def test_a_change_in_git_starts_it_again(superset) -> None:
    """Catches a server that goes on with the configuration of before."""
    superset_pages.up(superset)
    child = (superset.home / "child").read_text()
    (superset.home / "git").write_text("two")
    superset_pages.up(superset)
    assert (superset.home / "child").read_text() != child
    assert not psutil.pid_exists(int(child))


def test_it_is_told_the_settings_and_nothing_of_our_python(superset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a setting of `.env` that does not arrive, and our packages on the other environment's path."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    superset.superset_dsn = "postgresql://metadata"
    superset.superset_secret_key = SecretStr("a key")
    superset.smtp_url = SecretStr("smtp://mail")
    told = superset_pages.environment(superset)
    assert told["NIGHTLEDGER_SUPERSET_DSN"] == "postgresql://metadata"
    assert told["NIGHTLEDGER_SUPERSET_SECRET_KEY"] == "a key"
    assert told["NIGHTLEDGER_SMTP_URL"] == "smtp://mail"
    assert told["NIGHTLEDGER_HOME"] == str(superset.home)
    assert told["PYTHONPATH"] == str(superset_pages.PACKAGE)
    assert "PYTHONHOME" not in told
    assert {name for name in told if name.startswith("AIRFLOW")} == set()
    superset_pages.up(superset)
    for command in ("prepare", "web"):
        arrived = json.loads((superset.home / "superset" / f"told-{command}.json").read_text())
        assert arrived["NIGHTLEDGER_SUPERSET_DSN"] == "postgresql://metadata"
    assert oct((superset.home / "superset" / "server.log").stat().st_mode)[-3:] == "640"


def test_nothing_starts_before_the_first_publication(settings) -> None:
    """Catches a server with empty pages, or an error of DuckDB, in place of the next step."""
    with pytest.raises(PagesError, match=r"Nothing has been published.*make demo"):
        superset_pages.up(settings)


def test_what_is_wrong_in_git_is_told(superset) -> None:
    """Catches a failed step whose reason stands in a log that nobody looks at."""
    (superset.home / "wrong").touch()
    with pytest.raises(PagesError, match=r"prepare.*there is no column revenue"):
        superset_pages.up(superset)


def test_a_taken_port_is_named(superset) -> None:
    """Catches a start beside another program, whose pages people would get."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", superset.superset_port))
        other.listen()
        with pytest.raises(PagesError, match=f"{superset.superset_port} is taken"):
            superset_pages.up(superset)


def test_refreshing_needs_superset_and_comes_to_an_end(superset) -> None:
    """Catches a night that waits for dashboards which nobody has, or which hang."""
    assert "nothing to warm" in superset_pages.refresh(superset)
    superset_pages.up(superset)
    assert superset_pages.refresh(superset) == "12 answers computed"
    (superset.home / "slow").touch()
    with pytest.raises(PagesError):
        superset_pages.refresh(superset, seconds=0.5)
    assert os.environ.get("NIGHTLEDGER_SUPERSET_PORT") is None


def test_the_commands_give_their_exit_codes(superset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a script that goes on after a start that failed."""
    monkeypatch.setattr(superset_pages, "read_settings", lambda: superset)
    for command, code in (("status", 1), ("up", 0), ("refresh", 0), ("status", 0), ("down", 0)):
        monkeypatch.setattr(sys, "argv", ["superset_pages", command])
        assert superset_pages.main() == code, command
    (superset.home / "wrong").touch()
    monkeypatch.setattr(sys, "argv", ["superset_pages", "up"])
    assert superset_pages.main() == 1
