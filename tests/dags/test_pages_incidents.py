"""The page of incidents inside the real Airflow application."""

from datetime import date
from pathlib import Path

import pytest

from nightledger import incidents
from nightledger.incidents import ledger
from nightledger.incidents.ledger import Incident
from nightledger.settings import Settings

PAGE = "/nightledger/incidents"
DAY = date(2026, 3, 5)
NAUGHTY = "<script>alert(1)</script> {{ 7 * 7 }}"


@pytest.fixture
def incident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An open incident whose title a bank could have chosen: a file's name stands in it."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    return incidents.report(
        Settings(),
        kind="data",
        client_id="bank",
        about="core: delivery",
        title=f"core: {NAUGHTY} was refused.",
        first_date=DAY,
        run_id="nightly/manual__2026-03-05T02:00:00+00:00",
        cause_kind="refused file",
        cause="core: x.csv was refused.",
        candidates=["2026-03-04: model int_x was changed."],
    )


def test_an_incident_is_shown_with_its_cause_and_the_way_on(airflow_app, log_in, incident):
    """Catches a page that does not say what is blamed, or links that lead nowhere."""
    page = airflow_app.get(PAGE, headers=log_in("viewer"))
    assert page.status_code == 200
    for text in (
        "a refused file",
        "x.csv was refused",
        "model int_x was changed",
        "2026-03-05",
        f'id="{incident}"',
    ):
        assert text in page.text
    assert NAUGHTY not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7 * 7 }}" in page.text
    assert "script-src" not in page.headers["content-security-policy"]
    run = "/nightledger/runs/nightly/manual__2026-03-05T02%3A00%3A00%2B00%3A00"
    assert f'href="{run.removeprefix("/nightledger/")}"' in page.text
    assert airflow_app.get(run, headers=log_in("viewer")).status_code == 200
    runbook = page.text.split('href="runbooks/')[1].split('"')[0].split("#")[0]
    assert airflow_app.get(f"/nightledger/runbooks/{runbook}", headers=log_in("viewer")).status_code == 200


def test_who_may_acknowledges_with_a_note_and_a_name(airflow_app, log_in, incident):
    """Catches a form for those who may not, and a note without who and when."""
    assert "<form" not in airflow_app.get(PAGE, headers=log_in("viewer")).text
    act = f"{PAGE}/{incident}/acknowledge"
    assert airflow_app.post(act, data={"note": "no"}, headers=log_in("viewer")).status_code == 403
    engineer = log_in("data_engineer")
    assert f'action="incidents/{incident}/acknowledge"' in airflow_app.get(PAGE, headers=engineer).text
    empty = airflow_app.post(act, data={"note": " "}, headers=engineer)
    assert empty.status_code == 409
    assert "Write a note" in empty.text
    assert f'action="../../incidents/{incident}/acknowledge"' in empty.text
    done = airflow_app.post(act, data={"note": "asked the bank"}, headers=engineer)
    assert done.status_code == 200, "it leads back to the page"
    assert str(done.url).endswith(f"{PAGE}#{incident}")
    last = incidents.events(Settings(), incident)[-1]
    assert (last["event"], last["done_by"], last["note"]) == (
        "acknowledged",
        "data_engineer",
        "asked the bank",
    )
    assert "asked the bank" in done.text
    long = airflow_app.post(act, data={"note": "x" * 2001}, headers=engineer)
    assert long.status_code == 409 and "shorten it" in long.text, "nothing is cut off unsaid"


def test_the_address_in_a_message_leads_to_the_incident(airflow_app, log_in, incident):
    """Catches a link that ends at the top of a long list."""
    asked = airflow_app.get(f"{PAGE}/{incident}", headers=log_in("viewer"))
    assert str(asked.url).endswith(f"{PAGE}#{incident}")


def test_the_page_says_which_incidents_end_when_somebody_has_seen_them(airflow_app, log_in, incident):
    """Catches a note that closes an incident, to the surprise of who wrote it."""
    engineer = log_in("data_engineer")
    assert "that ends it" not in airflow_app.get(PAGE, headers=engineer).text
    told = {"about": "churn", "first_date": DAY, "run_id": "nightly/x"}
    missed = incidents.report(Settings(), kind="performance", title="Fewer left.", **told)
    assert "I have seen it: that ends it" in airflow_app.get(PAGE, headers=engineer).text
    assert "It also ends when another version is champion" in airflow_app.get(PAGE, headers=engineer).text
    airflow_app.post(f"{PAGE}/{missed}/acknowledge", data={"note": "I know why"}, headers=engineer)
    assert "that ends it" not in airflow_app.get(PAGE, headers=engineer).text


def test_another_sites_form_acknowledges_nothing(airflow_app, log_in, incident):
    """Catches a form on another site that acts as whoever is logged in."""
    token = log_in("data_engineer")["Authorization"].removeprefix("Bearer ")
    answer = airflow_app.post(
        f"{PAGE}/{incident}/acknowledge",
        data={"note": "x"},
        headers={"Cookie": f"_token={token}", "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.test"},
    )
    assert answer.status_code == 403
    assert [event["event"] for event in incidents.events(Settings(), incident)] == ["opened"]


def test_a_drift_says_how_much_counts_and_what_to_do_in_words(airflow_app, log_in, monkeypatch, tmp_path):
    """Catches a drift of 0.000 that nobody understands, and advice with marks that no page draws."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    rows = [
        Incident("drift", "bank", about, f"{about} drifts", DAY, DAY, "r", weighted_drift=weight)
        for about, weight in (("a", 0.05), ("b", 0.0))
    ]
    rows.append(Incident("night failed", "", "x", "t", DAY, DAY, "r", cause_kind="missing file"))
    with ledger.writing(Settings()) as connection:
        for row in rows:
            ledger.save(connection, row)
    text = airflow_app.get(PAGE, headers=log_in("viewer")).text
    assert "0.050" in text
    assert "From 0.02 on, a challenger is trained" in text
    assert "none on the last date" in text
    assert "0.000" not in text
    assert "<code>required</code>" in text


def test_what_is_over_stands_below_what_is_open(airflow_app, log_in, incident):
    """Catches an incident of last month that is read as tonight's."""
    over = incidents.report(
        Settings(), kind="publish late", about="x", title="was late", first_date=DAY, run_id="r"
    )
    incidents.close(Settings(), over, "r2")
    text = airflow_app.get(PAGE, headers=log_in("viewer")).text
    assert text.index(f'id="{incident}"') < text.index("<h2>Over</h2>") < text.index(f'id="{over}"')


def test_before_the_first_night_nothing_is_open(airflow_app, log_in, monkeypatch, tmp_path):
    """Catches an error page, or a database that a reader makes, in an installation without any night."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    page = airflow_app.get(PAGE, headers=log_in("viewer"))
    assert "Nothing is open" in page.text
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_in_the_navigation():
    """Catches a page that nobody finds."""
    from nightledger_plugin import NightledgerPlugin

    views = {view["href"]: view["destination"] for view in NightledgerPlugin.external_views}
    assert views[PAGE] == "nav"
