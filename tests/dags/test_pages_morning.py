"""The page for 3 a.m. and the runbooks inside the real Airflow application."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from nightledger import incidents, operations
from nightledger.settings import Settings
from tests.helpers.told_nights import Told

PAGE = "/nightledger/morning"
D = date(2026, 1, 19)
NOW = datetime(2026, 1, 20, 3)
NAUGHTY = "<script>alert(1)</script>.csv"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Told]:
    """A home of this test with one published night, at 03:00 of the next."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "home"))
    told = Told(Settings(), NOW)
    told.publish(date(2026, 1, 18), datetime(2026, 1, 19, 2))
    with told.at(NOW):
        yield told


def test_a_failed_night_is_shown_with_reason_action_and_links(airflow_app, log_in, told):
    """Catches a page that lacks what a person needs at 3 a.m., or that shows it to nobody."""
    run = told.open(D, datetime(2026, 1, 20, 2))
    told.refuse(run, NAUGHTY, "unknown column <b>x</b> {{ 7 * 7 }}", NOW)
    told.audit_fails(run, told.steps(run, datetime(2026, 1, 20, 2), until="audit"))
    answer = airflow_app.get(PAGE, headers=log_in("viewer"))
    assert answer.status_code == 200
    for text in (
        "Can people trust the numbers now?",
        "They are of Sun 18 January 2026",
        "is to be published by 20 Jan 05:00 UTC: in 2 h",
        "The audit stopped the night",
        "file_equals_raw_plus_quarantine",
        "hold the file and run the night again",
        'href="/nightledger/runbooks/a-night-failed#the-audit-stopped-it"',
        'href="/dags/nightly/runs/scheduled__2026-01-19/tasks/audit"',
        'href="/dags/nightly/runs/scheduled__2026-01-19/plugin/nightledger-run"',
    ):
        assert text in answer.text, text


def test_what_a_bank_writes_is_shown_and_never_executed(airflow_app, log_in, told):
    """Catches markup in a file's name that would act as the person who looks at it."""
    told.publish(D, datetime(2026, 1, 20, 2))
    told.refuse(f"nightly/scheduled__{D}", NAUGHTY, "unknown column <b>x</b> {{ 7 * 7 }}", NOW)
    answer = airflow_app.get(PAGE, headers=log_in("viewer"))
    assert NAUGHTY not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.csv" in answer.text
    assert "unknown column &lt;b&gt;x&lt;/b&gt; {{ 7 * 7 }}" in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    (nonce,) = re.findall(r"script-src 'nonce-([^']+)'", policy)
    assert re.findall(r"<script[^>]*>", answer.text) == [f'<script nonce="{nonce}">'], "the one of ours"
    assert '<meta http-equiv="refresh" content="60">' in answer.text


def test_incidents_are_shown_to_those_who_may_read_them(airflow_app, log_in, told):
    """Catches causes of incidents before the fraud desk, which may not open their page, and a way out of
    Airflow's frame."""
    title = "merchant_share of churn drifts"
    incidents.report(
        told.settings,
        kind="drift",
        about="churn",
        title=title,
        first_date=D,
        run_id=f"nightly/scheduled__{D}",
        cause="2026-01-19: a file",
    )
    page = airflow_app.get(PAGE, headers=log_in("viewer")).text
    assert title in page
    assert "Cause: 2026-01-19: a file" in page
    assert 'href="/plugin/nightledger-incidents"' in page
    page = airflow_app.get(PAGE, headers=log_in("fraud_desk"))
    assert page.status_code == 200
    assert title not in page.text
    assert "All incidents" not in page.text


def test_old_numbers_are_no_plain_yes(airflow_app, log_in, told, monkeypatch):
    """Catches a green answer above the alert that says that nothing new has come for days."""
    answers = []
    for hours in ("30", "20"):  # they are 27 hours old, and the next night is not due
        monkeypatch.setenv("NIGHTLEDGER_FRESH_HOURS", hours)
        text = airflow_app.get(PAGE, headers=log_in("viewer")).text
        answers.append((re.search(r"</small>(.*?)</h1>", text)[1], "nothing newer has come" in text))
    assert answers == [("Yes", False), ("They are right, but old", True)]


def test_a_night_that_catches_up_is_not_called_made_up_before_it_is_out(
    airflow_app, log_in, monkeypatch, tmp_path
):
    """Catches a strip on which a night that nobody has seen looks as if it had been published afterwards."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "catches-up"))
    told = Told(Settings(), NOW)
    told.publish(date(2025, 7, 2), datetime(2026, 1, 19, 2))

    def states() -> list[tuple[str, str]]:
        page = airflow_app.get(PAGE, headers=log_in("viewer")).text
        return re.findall(r"(0\d Jul)</span><b[^>]*>([\w ]+)</b>", page)

    with told.at(NOW):
        run = told.open(date(2025, 7, 3), NOW)
        assert states() == [("02 Jul", "made up later"), ("03 Jul", "running")]
        told.step(run, "audit", NOW, error="AuditFailed: a row is missing")
        assert states() == [("02 Jul", "made up later"), ("03 Jul", "failed")]


@pytest.fixture
def address(airflow_app) -> Iterator[str]:
    """The API server where a browser can ask it."""
    import uvicorn

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    config = uvicorn.Config(airflow_app.app, port=port, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.mark.slow
def test_links_lead_out_of_airflows_frame(address, log_in, told):
    """Catches links to logs and other pages that the browser refuses, since the frame may not leave."""
    from playwright.sync_api import sync_playwright

    incidents.report(
        told.settings,
        kind="data",
        about="x",
        title="x is late",
        first_date=D,
        run_id=f"nightly/scheduled__{D}",
    )
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=Settings().browser, args=arguments)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        token = log_in("viewer")["Authorization"].removeprefix("Bearer ")
        page.context.add_cookies([{"name": "_token", "value": token, "url": address}])
        page.goto(f"{address}/plugin/nightledger-morning")
        frame = page.frame_locator("iframe")
        frame.get_by_text("All incidents").click()
        page.wait_for_url("**/plugin/nightledger-incidents")
        frame.get_by_role("heading", name="x is late").wait_for()
        page.go_back()
        frame.get_by_text("Can people trust the numbers now?").wait_for()
        browser.close()


def test_before_the_first_night_the_page_says_so_and_makes_nothing(
    airflow_app, log_in, monkeypatch, tmp_path
):
    """Catches an error page in an installation that is new."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path / "new"))
    answer = airflow_app.get(PAGE, headers=log_in("viewer"))
    assert answer.status_code == 200
    assert "There are no numbers yet" in answer.text
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_older_code_is_no_error(airflow_app, log_in, told):
    """Catches a page that fails after an update, until the next night has made its tables."""
    with operations.engine(told.settings).begin() as connection:
        connection.exec_driver_sql("drop table night_deadlines")
        connection.exec_driver_sql("drop table night_waits")
    answer = airflow_app.get(PAGE, headers=log_in("viewer"))
    assert answer.status_code == 200
    assert "on time" in answer.text


def test_the_runbooks_are_shown_with_their_sections(airflow_app, log_in):
    """Catches a link to a runbook that leads nowhere inside Airflow."""
    answer = airflow_app.get("/nightledger/runbooks/a-night-failed", headers=log_in("fraud_desk"))
    assert answer.status_code == 200
    assert '<h2 id="the-audit-stopped-it">' in answer.text
    assert 'href="/nightledger/runbooks/hold-release-requeue"' in answer.text
    assert 'href="../' not in answer.text
    for name in ("no-such-page", "..%2F..%2FREADME", "..%2Fmetric-decisions"):
        assert airflow_app.get(f"/nightledger/runbooks/{name}", headers=log_in("viewer")).status_code == 404


def test_the_page_is_the_first_of_ours_in_the_navigation(airflow_app, log_in):
    """Catches a page that nobody finds at 3 a.m."""
    plugins = airflow_app.get("/api/v2/plugins", headers=log_in("admin")).json()["plugins"]
    (ours,) = (plugin for plugin in plugins if plugin["name"] == "nightledger")
    nav = [view for view in ours["external_views"] if view["destination"] == "nav"]
    assert (nav[0]["name"], nav[0]["href"]) == ("Nights", PAGE)
