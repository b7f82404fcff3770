"""Our pages inside the real Airflow application: who may see them, and what they show."""

from urllib.parse import parse_qs

import pytest

from nightledger import operations
from nightledger.settings import Settings

RUN = "manual__2026-03-05T02:00:00+00:00"
PAGE = f"/nightledger/runs/nightly/{RUN}"
NAUGHTY = "<script>alert(1)</script>.csv"
REASON = "unknown column <img src=x onerror=alert(2)> {{ 7 * 7 }} =HYPERLINK(1)"


@pytest.fixture(scope="module")
def client(airflow_app):
    """The API server with the results of one run."""
    name = f"nightly/{RUN}"
    node = {"seconds": 1.0, "message": ""}
    operations.record_nodes(
        Settings(),
        name,
        "features",
        [
            node | {"unique_id": "model.nightledger.slow", "status": "success", "seconds": 9.0, "rows": 1234},
            node | {"unique_id": "test.nightledger.unique_x.0f", "status": "fail", "rows": 2},
        ],
    )
    verdict = {"client_id": "bank", "source": "transactions", "verdict": "refused", "records": 0}
    operations.record_files(
        Settings(),
        name,
        [verdict | {"load_id": "1", "file": NAUGHTY, "quarantined": 0, "message": REASON}],
    )
    return airflow_app


def test_no_plugin_of_ours_fails_to_import(client, log_in):
    """Catches a broken plugin, which Airflow otherwise passes over in silence."""
    answer = client.get("/api/v2/plugins/importErrors", headers=log_in("admin"))
    assert answer.json() == {"import_errors": [], "total_entries": 0}


def test_only_the_plugin_file_is_executed_as_a_plugin(client, log_in):
    """Catches library modules that Airflow would run once more as plugins."""
    plugins = client.get("/api/v2/plugins", headers=log_in("admin")).json()["plugins"]
    ours = [plugin for plugin in plugins if "nightledger" in str(plugin["source"])]
    assert [plugin["name"] for plugin in ours] == ["nightledger"]
    views = {view["name"]: view["destination"] for view in ours[0]["external_views"]}
    assert views["dbt nodes and files"] == "dag_run"


def test_nobody_sees_a_page_without_logging_in(client):
    """Catches a route that does not ask: pages of a plugin are public unless each one does."""
    assert client.get(PAGE).status_code == 401
    assert client.get(PAGE, headers={"Authorization": "Bearer forged"}).status_code in (401, 403)


def test_a_link_of_a_mail_leads_by_way_of_the_log_in(client):
    """Catches a person at 3 a.m. who reads {"detail": "Not authenticated"} where the alert had sent them."""
    link = "/nightledger/runbooks/a-night-failed"
    asked = client.get(link, headers={"Accept": "text/html,*/*;q=0.8"}, follow_redirects=True)
    assert asked.status_code == 200 and asked.url.path == "/auth/login/"
    assert parse_qs(asked.url.query.decode())["next"] == [str(asked.history[0].url)]
    assert "password" in asked.text


def test_no_route_of_the_pages_is_public(client):
    """Catches a route that somebody adds outside the private router, and FastAPI's own ones."""
    from nightledger.pages import app

    for route in app.routes:
        for method in route.methods:
            answer = client.request(method, f"/nightledger{route.path}")
            assert answer.status_code == 401, (method, route.path)
    for path in ("/nightledger/docs", "/nightledger/openapi.json"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("user", ["viewer", "admin"])
def test_who_may_see_the_run_sees_its_nodes_and_files(client, user, log_in):
    """Catches a page that does not find the run, whose id holds signs that addresses treat specially."""
    page = client.get(PAGE, headers=log_in(user))
    assert page.status_code == 200
    for text in ("unique_x.0f", "slow", "1,234", "refused", "unknown column"):
        assert text in page.text
    assert page.text.index("unique_x.0f") < page.text.index(">slow<"), "trouble comes first"


def test_what_a_bank_writes_is_shown_and_never_executed(client, log_in):
    """Catches markup in a file's name that would act as the person who looks at it."""
    page = client.get(PAGE, headers=log_in("viewer"))
    assert NAUGHTY not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.csv" in page.text
    assert "<img" not in page.text
    assert "&lt;img src=x onerror=alert(2)&gt; {{ 7 * 7 }} =HYPERLINK(1)" in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'self'" in policy


def test_a_run_that_has_recorded_nothing_says_so(client, log_in):
    """Catches an error page for a run that has just begun, or that trains a model."""
    page = client.get("/nightledger/runs/train/new", headers=log_in("viewer"))
    assert page.status_code == 200
    assert "none of its dbt steps has ended yet, or there is no such run" in page.text


def test_before_the_first_night_the_page_is_empty(client, monkeypatch, tmp_path, log_in):
    """Catches an error page in an installation that has no operational database yet."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    page = client.get(PAGE, headers=log_in("viewer"))
    assert page.status_code == 200
    assert "This run has judged no file" in page.text
    assert list(tmp_path.iterdir()) == []


def test_metrics_are_for_whoever_has_the_token_and_for_nobody_else(client, monkeypatch, tmp_path, log_in):
    """Catches counts that anybody reads, or that Prometheus cannot read, which has no log-in."""
    page = "/nightledger/metrics"
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    for unset in ("", "Bearer ", "Bearer None"):
        assert client.get(page, headers={"Authorization": unset}).status_code == 401
    monkeypatch.setenv("NIGHTLEDGER_METRICS_TOKEN", "right")
    for wrong in ("", "Bearer ", "Bearer wrong", "right", log_in("admin")["Authorization"]):
        assert client.get(page, headers={"Authorization": wrong}).status_code == 401
    answer = client.get(page, headers={"Authorization": "Bearer right"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=1.0.0")
    assert "nightledger_lock_held 0.0" in answer.text
