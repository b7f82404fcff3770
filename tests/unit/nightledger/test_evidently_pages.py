"""Evidently's own pages: what the server is told, and when there is nothing to show."""

import json
import socket

import pytest

from nightledger import drift_reports
from nightledger.servers import evidently_pages
from nightledger.servers.foreground import PagesError
from nightledger.settings import Settings


def with_reports(settings: Settings) -> Settings:
    folder = drift_reports.folder(settings, "2026-03-31.1")
    folder.mkdir(parents=True)
    (folder / drift_reports.INDEX).write_text(json.dumps({"publication": "2026-03-31.1", "reports": [{}]}))
    return settings


def test_the_server_listens_here_only_and_phones_nobody(settings: Settings) -> None:
    """Catches pages without a log-in that the whole network reads, and telemetry."""
    server = evidently_pages.server(settings)
    words = list(server.command)
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[words.index("--port") + 1] == str(settings.evidently_port)
    assert words[words.index("--workspace") + 1] == str(settings.home / "evidently")
    assert server.environment["DO_NOT_TRACK"] == "1"


def test_without_reports_it_says_where_they_come_from(settings: Settings) -> None:
    """Catches an empty project, which looks as if nothing had ever drifted."""
    with pytest.raises(PagesError, match=r"There are no reports in .*make reports"):
        evidently_pages.serve(settings)
    assert not settings.home.exists()


def test_a_taken_port_is_told_before_the_workspace_is_made(settings: Settings) -> None:
    """Catches a minute of work that ends with a port that is taken."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings.evidently_port = other.getsockname()[1]
        with pytest.raises(PagesError, match="NIGHTLEDGER_EVIDENTLY_PORT=… make evidently"):
            evidently_pages.serve(with_reports(settings))
    assert not drift_reports.workspace(settings).exists()
