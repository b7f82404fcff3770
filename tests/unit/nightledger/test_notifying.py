"""Messages about incidents, taken by a mail server and an HTTP server on this machine."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from nightledger import incidents, operations
from nightledger.monitoring import alerts, notifying
from nightledger.settings import Settings

DAY = date(2026, 3, 10)
TITLE = f"The night of {DAY} failed in dbt features."


class Mailbox:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[tuple[list[str], str]] = []
        self.answer = "250 kept"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Take a message, or refuse it."""
        if self.answer.startswith("250"):
            self.got.append((envelope.rcpt_tos, envelope.content.decode()))
        return self.answer


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    """A mail server and its port."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()


@pytest.fixture
def hook() -> Iterator[tuple[list[tuple[str, dict[str, str]]], str]]:
    """A webhook's posts, and its URL."""
    posts: list[tuple[str, dict[str, str]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield posts, f"http://127.0.0.1:{server.server_port}/services/secret?room=night"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def settings(tmp_path: Path, mailbox: tuple[Mailbox, int], hook: tuple[Any, str]) -> Settings:
    """Both channels."""
    return Settings(
        home=tmp_path,
        smtp_url=f"smtp://127.0.0.1:{mailbox[1]}",
        alert_to="night@bank.test, lead@bank.test",
        alert_webhook=hook[1],
        alert_address="https://airflow.bank.test/",
        _env_file=None,
    )


def opened(settings: Settings, title: str = TITLE) -> str:
    """An incident of a failed night."""
    return incidents.report(
        settings, kind="night failed", about=str(DAY), title=title, first_date=DAY, run_id=f"nightly/{DAY}",
        cause_kind="missing file", cause="Not there: bank/core for 2026-03-10.",
    )  # fmt: skip


def test_each_channel_is_told_once_with_cause_and_links(settings, mailbox, hook):
    """Catches a second message for the same event, and one that does not say what to do."""
    incident = opened(settings)
    assert notifying.announce(settings) == 2
    assert notifying.announce(settings) == 0
    opened(settings)
    assert notifying.announce(settings) == 0
    [(recipients, mail)] = mailbox[0].got
    assert recipients == ["night@bank.test", "lead@bank.test"]
    assert "Subject: Nightledger: The night of 2026-03-10 failed" in mail
    [(path, post)] = hook[0]
    assert path == "/services/secret?room=night"
    for text in (
        TITLE,
        "Not there: bank/core for 2026-03-10.",
        "https://airflow.bank.test/nightledger/runbooks/",
        f"https://airflow.bank.test/nightledger/incidents/{incident}",
    ):
        assert text in post["text"]


def test_two_processes_at_once_send_a_message_once(settings, hook, monkeypatch):
    """Catches a night and a training that both find it unsent while the server takes its time."""
    opened(settings)
    post = notifying._SENDERS[notifying.WEBHOOK]

    def slow(*message: Any) -> None:
        time.sleep(0.3)
        post(*message)

    monkeypatch.setattr(notifying, "_SENDERS", {**notifying._SENDERS, notifying.WEBHOOK: slow})
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(notifying.announce, [settings, settings]))
    assert (sum(told), len(hook[0])) == (2, 1), "by mail and by webhook, each once"


def test_a_server_that_refuses_holds_up_nothing_and_gets_it_later(settings, mailbox, hook):
    """Catches a night that fails because of a mail, and a message that is lost or told twice elsewhere."""
    mailbox[0].answer = "554 not now"
    opened(settings)
    assert notifying.announce(settings) == 1
    assert len(hook[0]) == 1
    mailbox[0].answer = "250 kept"
    assert notifying.announce(settings) == 1
    assert (len(mailbox[0].got), len(hook[0])) == (1, 1)


def test_a_channel_that_fails_is_left_out_until_the_next_night(settings, mailbox, hook, monkeypatch):
    """Catches a task that waits 20 s for a dead mail server with each of many messages, and is killed."""
    asked = []

    def dead(*_: object) -> None:
        asked.append(1)
        raise TimeoutError

    monkeypatch.setattr(notifying, "_SENDERS", {**notifying._SENDERS, notifying.MAIL: dead})
    for number in range(3):
        incidents.report(
            settings, kind="publish late", about=str(number), title="late", first_date=DAY, run_id="r"
        )
    assert notifying.announce(settings) == 3, "the webhook gets them all"
    assert len(asked) == 1
    monkeypatch.undo()
    assert notifying.announce(settings) == 3
    assert len(mailbox[0].got) == 3


def test_a_night_that_fails_again_for_another_cause_is_told(settings, hook):
    """Catches people who work on the first failure of a night while it stands at another one."""
    opened(settings)
    notifying.announce(settings)
    incidents.report(
        settings, kind="night failed", about=str(DAY), title="failed in audit", first_date=DAY,
        run_id="nightly/again", cause_kind="audit", cause="The audit failed: totals.",
    )  # fmt: skip
    assert notifying.announce(settings) == 2
    assert notifying.announce(settings) == 0
    assert "The audit failed: totals." in hook[0][-1][1]["text"]


@pytest.mark.parametrize(
    ("about", "cause_kind", "expected"),
    [
        ("core.city: layout", "layout", "drift"),
        ("core: layout", "layout", "file_refused"),
        ("core: correction", "corrected file", "drift"),
        ("core: delivery", "missing file", "source_late"),
    ],
)
def test_advice_about_a_source_is_about_what_happened_to_it(about, cause_kind, expected):
    """Catches somebody who is told to read a file again that was taken, or to wait for one that has come."""
    row = {"kind": "data", "about": about, "cause_kind": cause_kind}
    assert notifying.runbook(row) == alerts.alerts()[expected]


def test_secrets_of_the_channels_are_not_logged(settings, mailbox, hook, caplog, monkeypatch):
    """Catches the webhook's secret address in the log of a task that everybody reads."""
    monkeypatch.setattr(
        settings, "alert_webhook", type(settings.alert_webhook)("http://127.0.0.1:9/secret-x")
    )
    opened(settings)
    with caplog.at_level("DEBUG"):
        assert notifying.announce(settings) == 1
    assert "webhook could not be told" in caplog.text
    shown = [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"]
    assert not any("secret-x" in line for line in shown)


def test_the_end_is_told_of_what_woke_somebody_and_old_news_is_not_told(settings, hook, monkeypatch):
    """Catches somebody who works on a night that is published, and a flood when alerts are switched on."""
    incident = opened(settings)
    notifying.announce(settings)
    incidents.close(settings, incident, "nightly/again", note="published")
    notifying.announce(settings)
    assert [post["subject"].split(": ")[1] for _, post in hook[0]] == [TITLE, "Over"]
    opened(settings, "another")
    later = datetime.now() + timedelta(days=30)  # noqa: DTZ005 - as the platform's clock
    monkeypatch.setattr(operations, "clock", lambda: later)
    assert notifying.announce(settings) == 0


def test_without_channels_nothing_is_sent(tmp_path):
    """Catches an installation that fails because it has told nobody where to write to."""
    settings = Settings(home=tmp_path, _env_file=None)
    opened(settings)
    assert notifying.announce(settings) == 0


def test_what_a_person_wrote_of_a_demotion_stays_on_the_page(settings):
    """Catches words about a customer that leave the house in a message."""
    row = {
        "id": "x", "kind": "champion demoted", "client_id": "", "title": "churn v2 was taken back.",
        "cause_kind": "model", "cause": "ana: Mr Smith complained", "severity": "high",
        "first_date": DAY, "last_date": DAY,
    }  # fmt: skip
    assert "Smith" not in "".join(notifying.message(settings, row, "opened"))
