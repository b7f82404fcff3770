"""The case pages inside the real Airflow application, over a small publication."""

import re
from collections.abc import Callable
from datetime import date, datetime
from html import unescape
from pathlib import Path

import duckdb
import pytest

from nightledger import cases, fraud_queue
from nightledger.settings import Settings

LIST = "/nightledger/cases"
PAYMENT = "a1"
PAGE = f"{LIST}/bank/{PAYMENT}"
NAUGHTY = "<script>alert(1)</script> {{ 70007 * 7 }}"
D = date(2026, 3, 5)


def publish(home: Path) -> None:
    """A publication with two payments of the newest night's queue, one of the night before, one beyond it."""
    build = home / "builds" / "2026-03-05.1"
    build.mkdir(parents=True)
    (home / "builds" / "current").symlink_to(build.name)
    with duckdb.connect(str(build / "warehouse.duckdb")) as warehouse:
        warehouse.execute("""
            create schema ops; create schema marts; create schema staging; create schema intermediate;
            create table ops.horizon as select 'bank' as client_id, date '2026-03-05' as as_of_date;
            create table ops.clients as
            select 'bank' as client_id, 'Demo Bank' as name, 'Asia/Kolkata' as timezone;
            create table ops.model_pins (model text, as_of_date date, role text);
            create table staging.stg_labels (client_id text, entity text, entity_id text, label text,
                value text, known_at timestamp, _load_id text, _record bigint);
            create table intermediate.int_fraud_reports (client_id text, transaction_key text,
                is_fraud boolean, superseded_at timestamp);
            create table marts.mart_fraud_alerts (client_id text, transaction_key text, customer_id text,
                account_id text, model_version text, receipt_id text, merchant text, reason_1 text,
                reason_2 text, reason_3 text, currency text, rank integer, amount decimal(18, 4), score float,
                expected_loss decimal(18, 4), is_within_budget boolean, business_date date,
                event_at timestamp, as_of_date date);
            create table marts.fct_transactions (transaction_key text, version bigint, client_id text,
                customer_id text, description text, merchant text, intermediary text, category text,
                subcategory text, movement text, payment_mode text, channel text, status text, city text,
                region text, country text, currency text, amount decimal(18, 4), is_current boolean,
                business_date date, event_at timestamp);
        """)
        for key, merchant, rank, within, day in (
            (PAYMENT, NAUGHTY, 1, True, D),
            ("a2", "Shoe Shop", 2, True, D),
            ("beyond", "Beyond Budget", 3, False, D),
            ("before", "Night Before", 1, True, date(2026, 3, 4)),
        ):
            at = datetime(day.year, day.month, day.day, 20, rank)
            warehouse.execute(
                "insert into marts.mart_fraud_alerts values ('bank', ?, 'C1', 'A1', 'v1', 'r1', ?,"
                " 'odd hour', null, null, 'INR', ?, 100, 0.5, 50, ?, ?, ?, ?)",
                [key, merchant, rank, within, day, at, day],
            )
            warehouse.execute(
                "insert into marts.fct_transactions values (?, 1, 'bank', 'C1', 'POS 1', ?, null, 'shopping',"
                " null, 'purchase', 'card', 'pos', 'posted', 'DELHI', null, 'IN', 'INR', -100, true, ?, ?)",
                [key, merchant, day, at],
            )


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """An installation with that publication, in which nobody has done anything."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(tmp_path))
    publish(tmp_path)
    return Settings()


@pytest.fixture
def ask(airflow_app, log_in) -> Callable[..., object]:
    """Asks for a page, or sends a form when there is one, as somebody."""

    def asking(page: str, form: dict[str, object] | None = None, user: str = "fraud_desk"):
        return airflow_app.request(
            "GET" if form is None else "POST",
            page,
            data=form,
            headers=log_in(user),
            follow_redirects=form is not None,
        )

    return asking


def shown(page) -> str:
    """What a person reads of a page."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<style.*?</style>|<[^>]+>", " ", page.text, flags=re.S)))


def test_the_list_shows_the_newest_nights_queue_and_filters_it(ask, settings):
    """Catches payments beyond the budget or of another night in tonight's work, and idle filters."""
    page = ask(LIST)
    assert page.status_code == 200
    assert "2 new 0 open" in shown(page)
    assert "100.00 INR expected loss of those not closed" in shown(page)
    assert "Shoe Shop" in page.text
    assert "Night Before" not in page.text
    assert "Beyond Budget" not in page.text
    assert "Night Before" in ask(f"{LIST}?view=all").text
    ask(PAGE, {"do": "genuine", "seen": 0})
    cases.act(settings, "bank", "a2", action="assign", assignee="tom", who="mia", seen=0)
    page = ask(LIST)
    assert "0 new 1 open 0 closed as fraud 1 closed as genuine 50.00 INR" in shown(page)
    rows = {
        "?state=genuine": (True, False),
        "?state=open": (False, True),
        "?state=new": (False, False),
        "?who=tom": (False, True),
        "?who=–": (True, False),
        "?view=waiting": (False, True),
        "?client=other": (False, False),
        "?view=nonsense": (True, True),
    }
    for query, expected in rows.items():
        text = ask(f"{LIST}{query}").text
        assert ("cases/bank/a1" in text, "cases/bank/a2" in text) == expected, query


def test_the_case_page_shows_the_payment_the_reasons_and_what_was_done(ask, settings):
    """Catches a page without what a person decides by: time, reasons, other payments, the bank's own word."""
    text = shown(ask(PAGE))
    for words in (
        "50.0% probability of fraud × 100.00 INR = 50.00 INR expected loss",
        "odd hour",
        "2026-03-06 01:31:00 in Asia/Kolkata, 2026-03-05 20:01 UTC",
        "number 1 of the 2 alerts of 2026-03-05",
        "The bank's word nothing yet",
        "Nobody has done anything yet.",
        "Night Before",
    ):
        assert words in text, words
    assert text.index("Shoe Shop") < text.index("this payment") < text.index("Night Before"), "newest first"
    page = ask(f"{LIST}/bank/unheard_of")
    assert page.status_code == 404
    assert "has no fraud alert of payment unheard_of" in shown(page)


def test_a_case_is_worked_by_forms_under_the_name_of_who_is_logged_in(ask, settings):
    """Catches a form that does nothing, a closing without its author, a name that somebody else can claim."""
    assert ask(PAGE, {"do": "take", "seen": 0}).status_code == 200
    assert (
        ask(PAGE, {"do": "note", "seen": 1, "note": f"one\r\ntwo {NAUGHTY}", "who": "boss"}).status_code
        == 200
    )
    page = ask(PAGE, {"do": "fraud", "seen": 2, "note": "She never was there."})
    assert page.status_code == 200 and page.url.path == PAGE
    assert "closed: fraud" in page.text and "Reopen the case" in page.text
    page = ask(PAGE, {"do": "reopen", "seen": 3, "note": "She was."}, user="admin")
    assert "Close as genuine" in page.text
    case = cases.read_case(settings, "bank", PAYMENT)
    me = case.events[0].assignee
    assert me and [event.who == me for event in case.events] == [True, True, True, False]
    assert [(event.action, event.verdict) for event in case.events] == [
        ("assign", None),
        ("note", None),
        ("close", "fraud"),
        ("reopen", None),
    ]
    assert case.events[1].note == f"one\ntwo {NAUGHTY}"
    assert ask(PAGE, {"do": "hand_back", "seen": 4}).status_code == 200
    assert cases.read_case(settings, "bank", PAYMENT).assignee is None


def test_a_client_whose_feed_tells_no_frauds_is_told_what_closing_does(ask, settings):
    """Catches a promise that a verdict trains the model, where nothing says what silence means."""
    nothing_yet = "becomes a label when the feed of bank tells its first fraud"
    assert nothing_yet in shown(ask(PAGE))
    with duckdb.connect(str(settings.builds / "current" / "warehouse.duckdb")) as warehouse:
        warehouse.execute(
            "insert into staging.stg_labels"
            " values ('bank', 'transaction', 'z', 'fraud', 'true', now(), 'l', 1)"
        )
    assert nothing_yet not in shown(ask(PAGE))
    assert "Closing writes a label" in shown(ask(PAGE))


def test_alerts_that_wait_for_a_first_report_are_told(ask, settings):
    """Catches an empty list that reads as "nothing happened", of a client that no model has learnt from."""
    assert "Alerts of" not in shown(ask(LIST))
    with duckdb.connect(str(settings.builds / "current" / "warehouse.duckdb")) as warehouse:
        warehouse.execute("update marts.mart_fraud_alerts set is_within_budget = false")
    assert "Alerts of bank wait: no feed of theirs has ever told a fraud" in shown(ask(LIST))
    with duckdb.connect(str(settings.builds / "current" / "warehouse.duckdb")) as warehouse:
        warehouse.execute(
            "insert into staging.stg_labels"
            " values ('bank', 'transaction', 'z', 'fraud', 'true', now(), 'l', 1)"
        )
    assert "Alerts of" not in shown(ask(LIST))


def test_the_second_of_two_people_sees_what_the_first_did_and_keeps_what_they_typed(ask, settings):
    """Catches a closing over somebody else's, and ten lines of notes that are gone with the refusal."""
    cases.act(
        settings, "bank", PAYMENT, action="close", verdict="genuine", who="tom", seen=0, note="Called her."
    )
    page = ask(PAGE, {"do": "fraud", "seen": 0, "note": "The hotline has her loss."})
    assert page.status_code == 409
    text = shown(page)
    assert "Not done: close it as fraud. After you had opened this case, tom did something about it." in text
    assert "tom closed it as genuine · after you had opened the page" in text
    assert "The hotline has her loss." in re.findall(r"<textarea[^>]*>(.*?)</textarea>", page.text, re.S)
    assert len(cases.read_case(settings, "bank", PAYMENT).events) == 1
    # What they typed can be sent again as it stands: the form has the version that they see now.
    seen = re.findall(r'name="seen" value="(\d+)"', page.text)
    assert set(seen) == {"1"}
    assert ask(PAGE, {"do": "reopen", "seen": 1, "note": "The hotline has her loss."}).status_code == 200


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"do": "note", "seen": 0, "note": " "}, "The note is empty"),
        ({"do": "reopen", "seen": 0, "note": "kept text"}, "The case is not closed"),
        ({"do": "delete", "seen": 0}, "An action is one of"),
        ({"do": "assign", "seen": 0, "assignee": " "}, "Nobody is chosen"),
        (
            {"do": "assign", "seen": 0, "assignee": "nobody_known"},
            "There is no nobody_known who works cases of bank",
        ),
        ({"do": "assign", "seen": 0, "assignee": "viewer"}, "those who do are admin, fraud_desk."),
    ],
)
def test_what_cannot_be_done_is_said_on_the_page(ask, settings, form, said):
    """Catches an error page, or an event without sense."""
    page = ask(PAGE, form)
    assert page.status_code == 422
    assert said in shown(page)
    assert form.get("note", "").strip() in page.text
    assert cases.read_case(settings, "bank", PAYMENT).events == ()


def test_a_case_goes_to_somebody_who_may_work_it(ask, settings):
    """Catches a list of names that anybody made up, without the people who hold the role."""
    assert re.findall(r"<option>(\w+)</option>", ask(PAGE).text) == ["admin"], "and not who asks"
    page = ask(PAGE, {"do": "assign", "seen": 0, "assignee": "admin"})
    assert page.status_code == 200
    assert cases.read_case(settings, "bank", PAYMENT).assignee == "admin"
    assert re.findall(r"<option>(\w+)</option>", page.text) == []


def test_a_list_that_is_cut_says_so(ask, settings, monkeypatch):
    """Catches counts and sums of a part that look like those of all."""
    monkeypatch.setattr(fraud_queue, "MOST_ALERTS", 3)
    assert "neither shown nor counted" not in shown(ask(f"{LIST}?view=all"))
    monkeypatch.setattr(fraud_queue, "MOST_ALERTS", 2)
    text = shown(ask(f"{LIST}?view=all"))
    assert "older ones than the newest 2 are neither shown nor counted here" in text
    assert "2 new" in text
    assert "Night Before" not in text


def test_nothing_is_written_about_a_payment_without_an_alert(ask, settings):
    """Catches labels for any payment whose key somebody puts into the address."""
    assert ask(f"{LIST}/bank/unheard_of", {"do": "fraud", "seen": 0}).status_code == 404
    assert cases.read_cases(settings) == {}


def test_what_people_work_on_beyond_the_budget_is_found_again(ask, settings):
    """Catches a case that somebody took from a customer's other payments and that no list shows any more."""
    ask("/nightledger/cases/bank/beyond", {"do": "take", "seen": 0})
    text = shown(ask(LIST))
    assert "2 new 1 open" in text
    assert "Beyond Budget" in text and "beyond the budget" in text
    assert "Beyond Budget" in ask(f"{LIST}?who=fraud_desk").text


def test_a_case_whose_alert_is_gone_keeps_its_history_and_goes_on(ask, settings):
    """Catches work of people that a rollback or a payment taken back hides from them."""
    ask(PAGE, {"do": "fraud", "seen": 0, "note": "She never was there."})
    with duckdb.connect(str(settings.builds / "current" / "warehouse.duckdb")) as warehouse:
        warehouse.execute("delete from marts.mart_fraud_alerts where transaction_key = ?", [PAYMENT])
    page = ask(PAGE)
    assert page.status_code == 200
    assert "A case without its alert" in shown(page)
    assert "She never was there." in shown(page)
    assert "Without an alert in this publication" not in shown(ask(LIST)), "it is of no night's queue"
    assert "Without an alert in this publication" in shown(ask(f"{LIST}?view=all"))
    assert "cases/bank/a1" not in ask(f"{LIST}?view=waiting").text
    assert ask(PAGE, {"do": "reopen", "seen": 1, "note": "It was her son."}).status_code == 200
    assert cases.read_case(settings, "bank", PAYMENT).state == "open"
    assert "cases/bank/a1" in ask(f"{LIST}?view=waiting").text


def test_what_banks_and_people_write_is_shown_and_never_executed(ask, settings):
    """Catches markup in a merchant's name or a note that would act as the person who looks at it."""
    cases.act(settings, "bank", PAYMENT, action="assign", assignee=NAUGHTY, note=NAUGHTY, who="mia", seen=0)
    for page in (ask(LIST), ask(PAGE), ask(f"{LIST}?client={NAUGHTY}")):
        assert "<script" not in page.text
        assert "490049" not in shown(page)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "script-src" not in page.headers["content-security-policy"]


def test_who_may_not_work_cases_changes_nothing(airflow_app, ask, log_in, settings):
    """Catches a form that anybody who can log in may send, or another site's form with our cookie."""
    assert ask(PAGE, {"do": "fraud", "seen": 0}, user="viewer").status_code == 403
    assert ask(LIST, user="viewer").status_code == 403
    token = log_in("fraud_desk")["Authorization"].removeprefix("Bearer ")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}):
        answer = airflow_app.post(
            PAGE, data={"do": "fraud", "seen": 0}, headers=headers | {"Cookie": f"_token={token}"}
        )
        assert answer.status_code == 403, headers
    assert cases.read_cases(settings) == {}


def test_somebody_of_one_client_sees_and_works_the_cases_of_that_client_alone(ask, settings):
    """Catches rows, names and forms of another client, and work handed to somebody who may not see it."""
    with duckdb.connect(str(settings.builds / "current" / "warehouse.duckdb")) as warehouse:
        for table in ("marts.mart_fraud_alerts", "marts.fct_transactions", "ops.clients", "ops.horizon"):
            warehouse.execute(f"insert into {table} select * replace ('demo_bank' as client_id) from {table}")
    own = f"{LIST}/demo_bank/{PAYMENT}"
    confined = {"user": "fraud_desk_demo_bank"}
    cases.act(settings, "bank", "a2", action="note", note="Of another bank.", who="stranger", seen=0)
    for query in ("", "?view=all", "?view=waiting", "?client=demo_bank"):
        text = ask(f"{LIST}{query}", **confined).text
        assert "cases/demo_bank/a1" in text and "cases/bank/" not in text, query
        assert "stranger" not in text and "<option>bank<" not in text, query
    assert "cases/bank/a1" in ask(LIST).text and "stranger" in ask(LIST).text
    for refused in (
        ask(f"{LIST}?client=bank", **confined),
        ask(PAGE, **confined),
        ask(PAGE, {"do": "fraud", "seen": 0}, **confined),
        ask(f"{LIST}/no_such_client/x", **confined),
    ):
        assert refused.status_code == 403
        assert "You are logged in as fraud_desk_demo_bank and see demo_bank only" in shown(refused)
    page = ask(own, **confined)
    assert re.findall(r"<option>(\w+)</option>", page.text) == ["admin", "fraud_desk"]
    assert ask(own, {"do": "take", "seen": 0}, **confined).status_code == 200
    assert "fraud_desk_demo_bank" in re.findall(r"<option>(\w+)</option>", ask(f"{LIST}/demo_bank/a2").text)
    page = ask(PAGE, {"do": "assign", "seen": 0, "assignee": "fraud_desk_demo_bank"})
    assert "There is no fraud_desk_demo_bank who works cases of bank" in shown(page)
    assert {key for key in cases.read_cases(settings)} == {("demo_bank", PAYMENT), ("bank", "a2")}


def test_before_the_first_night_and_without_alerts_the_list_says_why(ask, settings, monkeypatch, tmp_path):
    """Catches an empty table that leaves people wondering whether something is broken."""
    with duckdb.connect(str(settings.builds / "current" / "warehouse.duckdb")) as warehouse:
        warehouse.execute("delete from marts.mart_fraud_alerts")
    assert "no fraud model was champion in the night of 2026-03-05" in shown(ask(LIST))
    with duckdb.connect(str(settings.builds / "current" / "warehouse.duckdb")) as warehouse:
        warehouse.execute("insert into ops.model_pins values ('fraud', '2026-03-05', 'champion')")
    assert "no payment was worth what looking at it costs" in shown(ask(LIST))
    empty = tmp_path / "empty"
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(empty))
    assert "Nothing has been published yet" in shown(ask(LIST))
    assert ask(PAGE).status_code == 404
    assert not empty.exists()


def test_cases_are_a_page_of_airflows_own_menu(airflow_app, log_in):
    """Catches a page that nobody finds without knowing its address."""
    plugins = airflow_app.get("/api/v2/plugins", headers=log_in("admin")).json()["plugins"]
    views = [view for plugin in plugins for view in plugin["external_views"]]
    assert ("Cases", LIST, "nav", "nightledger-cases") in [
        (view["name"], view["href"], view["destination"], view["url_route"]) for view in views
    ]
