"""Who lets a version score, who takes it back, and what nobody can change afterwards."""

import re
import threading
from datetime import date, datetime, timedelta
from pathlib import Path
from unittest import mock

import duckdb
import pytest
import sqlalchemy as sa
import yaml
from alembic import command
from alembic.config import Config

from ml import config
from nightledger import leases, operations, publications, warehouse
from nightledger.clients import Client, ClientError, load_clients
from nightledger.governance import decisions as model_decisions
from nightledger.governance.demotion import demote, demote_for_loss
from nightledger.governance.ledger import (
    GovernanceError,
    Standing,
    decisions,
    last_decision,
    metrics_of,
    standing,
)
from nightledger.governance.promotion import (
    answer,
    check_clients,
    is_awaiting,
    is_new_champion,
    record_training,
    request,
    settle,
    who_approves,
)
from nightledger.operations import schema
from nightledger.settings import PROJECT, Settings


def outcome(version: str, verdict: str = "promoted", day: date = date(2026, 1, 31), **other) -> dict:
    """What a training gives."""
    return {
        "model": "churn",
        "version": version,
        "verdict": verdict,
        "standing": verdict,
        "reason": "It beats its baselines.",
        "publication_id": f"{day}.1",
        "trained_on_as_of": str(day),
        "known_at": f"{day + timedelta(days=1)}T02:00:00",
        "artefact_sha256": "0" * 64,
        "guardrails": [],
        "metrics": [
            {
                "model": "churn", "version": version, "client_id": "", "dataset": "out_of_time",
                "window_label": "2025-11-30", "metric": "average_precision", "baseline": baseline,
                "value": value, "lo": 0.4, "hi": 0.6, "n": 100, "base_rate": 0.1,
            }
            for baseline, value in (("", 0.5), ("recency", 0.3))
        ],
        "importances": [
            {"feature": feature, "feature_group": "all", "importance": value}
            for feature, value in (("tenure_days", 0.25), ("total_spend_30d", 0.125))
        ],
        **other,
    }  # fmt: skip


def publish(settings, day: date) -> None:
    """A current publication as far as a decision reads one."""
    path = settings.builds / f"{day}.1"
    path.mkdir(parents=True)
    with warehouse.connect(path, read_only=False, settings=settings) as connection:
        connection.execute(
            "create schema ops;"
            "create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp)"
        )
        at = datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(hours=2)
        connection.execute("insert into ops.horizon values ('c', ?, ?)", [day, at])
    publications.point(settings, "current", path.name)


@pytest.fixture
def home(settings):
    """v1, then v2 are champions; the night of 10 February is published."""
    publish(settings, date(2026, 2, 10))
    record_training(settings, outcome("v1"), "train/1")
    record_training(settings, outcome("v2", day=date(2026, 2, 9)), "train/2", compared_with="v1")
    return settings


def now(settings) -> Standing:
    return standing(decisions(settings, "churn"))


def go_back(settings, run: str = "demote/1", **asked):
    return demote(settings, "churn", **{"reason": "complaints", "by": "ada", "run_id": run, **asked})


def test_what_was_decided_cannot_be_edited_in_the_database_itself(home):
    """Catches a decision that somebody corrects afterwards, by the library or by hand."""
    pins = "insert or replace into model_pins (model, as_of_date, role, model_version, recorded_at)"
    with operations.engine(home).begin() as connection:
        connection.execute(
            sa.text(f"{pins} values ('churn', '2026-02-01', 'champion', 'v1', '2026-02-01 02:00:00')")
        )
    before = decisions(home)
    for statement in (
        "update model_decisions set decided_by = 'nobody'",
        "delete from model_decisions where id = 1",
        "insert or replace into model_decisions select id, model, 'v9', decision, reason, decided_by, run_id,"
        " publication_id, trained_on_as_of, artefact_sha256, known_at, recorded_at, compared_with,"
        " champion_after, applies_after, evidence from model_decisions",
        "update model_pins set model_version = 'v9'",
        "delete from model_pins",
        f"{pins} values ('churn', '2026-02-01', 'champion', 'v9', '2026-02-01 02:00:00')",
    ):
        with (
            pytest.raises(sa.exc.IntegrityError, match="append-only"),
            operations.engine(home).begin() as connection,
        ):
            connection.execute(sa.text(statement))
    assert decisions(home) == before


def test_an_older_home_keeps_its_decisions_and_pins_and_learns_who_was_champion(settings):
    """Catches an upgrade after which the champion is gone, or a date is scored by another version."""
    publish(settings, date(2026, 2, 10))
    config = Config()
    config.set_main_option("script_location", "nightledger.operations:migrations")
    file = Path(settings.home) / "operations.db"
    older = sa.create_engine(f"sqlite:///{file}")
    with older.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        rows = [("v1", "promoted"), ("v2", "kept_as_challenger"), ("v3", "promoted"), (None, "refused")]
        for number, (version, decision) in enumerate(rows):
            connection.execute(
                sa.text(
                    "insert into model_decisions (model, version, decision, reason, decided_by, run_id,"
                    " trained_on_as_of, known_at, recorded_at) values ('churn', :version, :decision, 'why',"
                    " 'promotion rules', :run, '2026-01-31', '2026-02-01 02:00:00', '2026-02-01 03:00:00')"
                ),
                {"version": version, "decision": decision, "run": f"train/{number}"},
            )
        connection.execute(
            sa.text("insert into model_pins values ('churn', '2026-02-01', 'v1', 'champion', '2026-02-01')")
        )
    older.dispose()
    assert [row["champion_after"] for row in decisions(settings)] == ["v1", "v1", "v3", "v3"]
    assert {row["applies_after"] for row in decisions(settings)} == {date(2026, 1, 31)}
    assert now(settings) == Standing(champion="v3")
    pins = operations.read(settings, sa.select(schema.model_pins))
    assert [(row["model_version"], row["role"]) for row in pins] == [("v1", "champion")]


def test_a_training_is_recorded_once_however_often_its_task_runs(settings):
    """Catches doubled metrics, importances and decisions after a retry."""
    for run in ("train/a", "train/a"):
        record_training(settings, outcome("v1"), run)
    assert record_training(settings, outcome("v1"), "train/b", compared_with="v1")["decision"] == "unchanged"
    assert [row["decision"] for row in decisions(settings)] == ["promoted", "unchanged"]
    assert len(metrics_of(settings, "churn", "v1")) == 2
    importances = operations.read(settings, sa.select(schema.model_importances))
    assert [(row["version"], row["feature"], row["importance"]) for row in importances] == [
        ("v1", "tenure_days", 0.25),
        ("v1", "total_spend_30d", 0.125),
    ]
    assert last_decision(settings, "churn")["champion_after"] == "v1"


def test_a_version_judged_by_a_try_that_died_is_recorded_as_judged(settings):
    """Catches a first champion that stays without a decision because its worker was killed."""
    died = outcome("v1", "unchanged", standing="promoted")
    assert record_training(settings, died, "train/1")["decision"] == "promoted"


def test_a_promotion_between_two_tries_is_neither_undone_nor_judged_again(settings):
    """Catches a second try that puts its version in the place of one that was promoted meanwhile."""
    began_with = now(settings).champion
    first_try = outcome("v1")  # and the process dies before it is recorded
    record_training(settings, outcome("v2"), "train/other")
    second_try = record_training(settings, first_try, "train/slow", compared_with=began_with)
    assert now(settings) == Standing(champion="v2", challenger="v1")
    assert second_try["decision"] == "kept_as_challenger"
    assert "judged against no champion, and v2" in second_try["reason"]
    assert record_training(settings, first_try, "train/slow", compared_with="v2") == second_try


def test_of_two_runs_at_once_one_makes_the_champion(settings):
    """Catches two promotions that both believe to follow the same champion."""
    operations.engine(settings)
    both = threading.Barrier(2)

    def run(version: str) -> None:
        both.wait()
        record_training(settings, outcome(version), f"train/{version}")

    threads = [threading.Thread(target=run, args=(version,)) for version in ("v1", "v2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row["decision"] for row in decisions(settings)) == ["kept_as_challenger", "promoted"]


def test_what_a_person_has_taken_back_no_rule_brings_back(home):
    """Catches a training on the same publication that promotes the very version somebody has demoted."""
    go_back(home)
    again = record_training(home, outcome("v2"), "train/3", compared_with="v1")
    assert again["decision"] == "unchanged"
    assert "was demoted by ada: complaints" in again["reason"]
    assert now(home).champion == "v1"


def test_a_client_that_asks_for_it_gets_a_person_and_a_slip_in_a_name_is_refused():
    """Catches a safeguard that is off because a model's name was mistyped."""
    plain = {"client_id": "c", "name": "C", "base_currency": "GBP"}
    clients = {
        "some": Client(**plain, approval={"models": ["fraud"]}),
        "all": Client(**plain, approval={"models": "all"}),
        "none": Client(**plain),
    }
    assert who_approves(clients, "fraud") == ["some", "all"]
    assert who_approves(clients, "fraud.wallet") == ["some", "all"]
    assert who_approves(clients, "churn") == ["all"]
    check_clients(clients, ["churn", "fraud"])
    slip = {"c": Client(**plain, approval={"models": ["fruad"]})}
    with pytest.raises(ClientError, match=r"c\.yml: .*fruad; there are: churn, fraud"):
        check_clients(slip, ["churn", "fraud"])
    with pytest.raises(ClientError, match="frod"):
        check_clients({"c": Client(**plain, loss_limits={"frod": {"share": 0.1}})}, ["fraud"])


def test_a_version_that_waits_for_a_person_does_not_score_until_the_answer(home):
    """Catches a version in production that nobody has approved, or an approval without a name."""
    asked = record_training(home, outcome("v3"), "train/3", compared_with="v2", approvers=["bank"])
    assert asked["decision"] == "awaiting_approval"
    assert now(home) == Standing(champion="v2", challenger="v3")
    said = {
        "chosen_options": ["Approve"],
        "params_input": {"comment": "figures checked"},
        "responded_by_user": {"id": "7", "name": "grace"},
    }
    done = settle(home, "train/3", "churn", said)
    assert (done["decision"], done["decided_by"], done["reason"]) == ("approved", "grace", "figures checked")
    assert is_new_champion(done)
    assert done["applies_after"] == date(2026, 2, 10), "what is published meanwhile keeps its scores"
    assert now(home) == Standing(champion="v3")
    assert settle(home, "train/3", "churn", said | {"chosen_options": ["Reject"]}) == {
        **done, "recorded_at": mock.ANY,
    }  # fmt: skip


def test_a_rejection_is_recorded_and_the_version_does_not_even_score_in_the_shadow(home):
    """Catches a rejected version that comes back by the next training or as a challenger."""
    record_training(home, outcome("v3"), "train/3", compared_with="v2", approvers=["bank"])
    done = answer(home, "train/3", "churn", is_approved=False, by="grace")
    assert (done["decision"], done["champion_after"]) == ("rejected", "v2")
    assert now(home) == Standing(champion="v2")
    assert record_training(home, outcome("v3"), "train/4", compared_with="v2")["decision"] == "unchanged"


def test_without_an_answer_the_version_keeps_waiting(home):
    """Catches a clock that approves or rejects in a person's place."""
    record_training(home, outcome("v3"), "train/3", compared_with="v2", approvers=["bank"])
    by_the_clock = {"chosen_options": ["Reject"], "params_input": {}, "responded_by_user": None}
    assert settle(home, "train/3", "churn", by_the_clock)["decision"] == "awaiting_approval"
    assert now(home) == Standing(champion="v2", challenger="v3")


def test_nobody_approves_what_they_had_trained_themselves(home):
    """Catches one person who brings a model into production alone; a second person still can."""
    record_training(home, outcome("v3"), "train/3", compared_with="v2", approvers=["bank"])
    said = {
        "chosen_options": ["Approve"],
        "params_input": {},
        "responded_by_user": {"id": "7", "name": "ada"},
    }
    with pytest.raises(GovernanceError, match="ada started the training of churn, so somebody else"):
        settle(home, "train/3", "churn", said, started_by="ada")
    assert now(home) == Standing(champion="v2", challenger="v3")
    by_another = said | {"responded_by_user": {"id": "8", "name": "grace"}}
    assert settle(home, "train/3", "churn", by_another, started_by="ada")["decision"] == "approved"


def test_who_had_a_version_trained_may_still_reject_it(home):
    """Catches a rule for two pairs of eyes that keeps a version waiting which its own maker finds bad."""
    record_training(home, outcome("v3"), "train/3", compared_with="v2", approvers=["bank"])
    said = {"chosen_options": ["Reject"], "params_input": {}, "responded_by_user": {"id": "7", "name": "ada"}}
    assert settle(home, "train/3", "churn", said, started_by="ada")["decision"] == "rejected"


def test_an_approval_beside_a_champion_that_is_gone_changes_nothing(home):
    """Catches a click that undoes a demotion made while the request was waiting."""
    record_training(home, outcome("v3"), "train/3", compared_with="v2", approvers=["bank"])
    go_back(home)
    done = answer(home, "train/3", "churn", is_approved=True, by="grace")
    assert (done["decision"], done["decided_by"]) == ("kept_as_challenger", "grace")
    assert now(home) == Standing(champion="v1", challenger="v3")


def test_a_person_sees_the_reason_the_figures_the_guardrails_and_the_card(home):
    """Catches a question that nobody can answer without looking elsewhere."""
    broken = ["calibration error 0.02"]
    asked = record_training(
        home, outcome("v3", guardrails=broken), "train/3", compared_with="v2", approvers=["bank"]
    )
    shown = request(home, asked)
    assert shown["subject"] == "Shall churn v3 score instead of v2?"
    for text in (
        "It beats its baselines. Approval is asked for by bank.",
        "| average precision | 0.500 (0.400 to 0.600) | 0.300 (0.400 to 0.600) |",
        "Guardrails: calibration error 0.02.",
        "models/churn/v3/model_card.md",
    ):
        assert text in shown["body"]
    assert [is_awaiting(row) for row in decisions(home)][:1] == [False]
    assert is_awaiting(asked)


def test_a_demotion_goes_back_to_the_champion_before_and_says_who_and_why(home):
    """Catches a demotion that nobody can explain, or that changes what is published."""
    done = go_back(home)
    assert (done["decision"], done["version"], done["champion_after"]) == ("demoted", "v2", "v1")
    assert (done["decided_by"], done["reason"]) == ("ada", "complaints")
    assert (done["applies_after"], done["known_at"]) == (date(2026, 2, 10), datetime(2026, 2, 11, 2))
    assert done["publication_id"] == "2026-02-10.1"


def test_a_second_demotion_does_not_return_to_what_was_demoted(home):
    """Catches a demotion that brings back the very version somebody took away."""
    record_training(home, outcome("v3"), "train/3", compared_with="v2")
    assert go_back(home)["champion_after"] == "v2"
    assert go_back(home, "demote/2")["champion_after"] == "v1"
    with pytest.raises(GovernanceError, match=r"no earlier champion to go back to.*TO=none"):
        go_back(home, "demote/3")


def test_a_person_may_name_any_earlier_champion_and_nothing_else(home):
    """Catches a demotion used to deploy what no rule and no person ever let in."""
    record_training(home, outcome("v3", "kept_as_challenger"), "train/3", compared_with="v2")
    record_training(home, outcome("v4"), "train/4", compared_with="v2", approvers=["bank"])
    for version in ("v3", "v4", "v9", "v2"):
        with pytest.raises(GovernanceError, match=rf"{version} is no earlier champion of churn.*are: v1$"):
            go_back(home, to=version)
    go_back(home)
    assert go_back(home, "demote/2", to="v2")["champion_after"] == "v2", "a demotion by mistake"
    with pytest.raises(GovernanceError, match="v1 was demoted, so name it if you mean it"):
        go_back(home, "demote/3")
    assert go_back(home, "demote/4", to="v1")["champion_after"] == "v1"


def test_nobody_goes_back_to_a_version_that_can_no_longer_score(home):
    """Catches a demotion after which every night fails, because features have changed since."""
    record_training(home, outcome("v3"), "train/3", compared_with="v2")
    broken = {"v2": "gone: tenure_days"}.get
    with pytest.raises(GovernanceError, match="v2 cannot score any more: gone: tenure_days"):
        go_back(home, to="v2", why_not=lambda version: broken(version, ""))
    assert go_back(home, why_not=lambda version: broken(version, ""))["champion_after"] == "v1"


def test_a_model_can_be_withdrawn_and_only_a_person_brings_it_back(home):
    """Catches a monthly training that quietly revives what somebody switched off."""
    done = go_back(home, to="none")
    assert (done["decision"], done["version"], done["champion_after"]) == ("withdrawn", "v2", None)
    assert now(home) == Standing(is_withdrawn=True)
    with pytest.raises(GovernanceError, match="nothing scores"):
        go_back(home, "demote/2", to="none")
    assert record_training(home, outcome("v3"), "train/3")["decision"] == "awaiting_approval"
    assert now(home) == Standing(is_withdrawn=True), "nothing scores, not even in a shadow"
    back = go_back(home, "demote/3", to="v2")
    assert (back["decision"], back["version"], now(home).champion) == ("reinstated", "v2", "v2")


def test_a_demotion_needs_a_reason_and_a_champion(settings):
    """Catches a decision without a why, and a traceback where there is nothing to decide."""
    publish(settings, date(2026, 2, 10))
    with pytest.raises(GovernanceError, match="say why"):
        go_back(settings, reason=" ")
    with pytest.raises(GovernanceError, match="nothing was ever decided about a model chrun"):
        demote(settings, "chrun", reason="a slip", by="ada", run_id="demote/1")
    record_training(settings, outcome("v1"), "train/1")
    with pytest.raises(
        GovernanceError, match=r"churn has no earlier champion .* To score with nothing: make"
    ):
        go_back(settings)
    go_back(settings, "demote/2", to="none")
    with pytest.raises(GovernanceError, match=r"v1 was demoted, so name it .*\. Nothing scores now\."):
        go_back(settings, "demote/3")


BREACH = {"model": "churn", "version": "v2", "reason": "c lost 0.3 %.", "clients": [{"share": 0.003}]}


def test_a_champion_that_loses_too_much_goes_by_itself_and_once(home):
    """Catches a second try, or the next night, that demotes the innocent version before it too."""
    done = demote_for_loss(home, BREACH, "nightly/1", lambda _version: "")
    assert (done["decision"], done["decided_by"], done["champion_after"]) == ("demoted", "loss limit", "v1")
    assert '"share": 0.003' in done["evidence"]
    demote_for_loss(home, BREACH, "nightly/1", lambda _version: "")
    assert now(home).champion == "v1"
    assert len(decisions(home)) == 3


def test_a_loss_with_nowhere_to_go_back_to_is_said_once(settings):
    """Catches a ledger that fills with the same line every night, and a loss that nobody is told of."""
    publish(settings, date(2026, 2, 10))
    record_training(settings, outcome("v2"), "train/1")
    for night in ("nightly/1", "nightly/2"):
        done = demote_for_loss(settings, BREACH, night, lambda _version: "")
        assert (done["decision"], done["champion_after"]) == ("unchanged", "v2")
    assert "no earlier champion" in done["reason"]
    assert len(decisions(settings)) == 2


def test_pruning_leaves_what_a_run_has_leased_until_it_is_over_or_dead(settings, monkeypatch):
    """Catches a training of hours whose publication vanishes, and a killed one that keeps it for ever."""
    settings.keep_publications = 1
    days = [date(2026, 1, day) for day in (10, 11, 12, 13)]
    for day in days:
        publish(settings, day)
        operations.record_publication(
            settings, action="published", publication_id=f"{day}.1", base=None, run_id="nightly/x",
            as_of_date=day, content_hash="0", reason="test",
        )  # fmt: skip
    assert leases.lease(settings, "train/long", "2026-01-10.1") == "2026-01-10.1"
    assert leases.lease(settings, "train/long", "2026-01-13.1") == "2026-01-10.1", "a retry stays with it"
    leases.lease(settings, "train/dead", "2026-01-11.1")
    assert publications.prune(settings, "nightly/x") == ["2026-01-12.1"]
    leases.release(settings, "train/long")
    assert publications.prune(settings, "nightly/x") == ["2026-01-10.1"]
    later = operations.clock() + leases.LONGEST + timedelta(seconds=1)
    monkeypatch.setattr(operations, "clock", lambda: later)
    assert publications.prune(settings, "nightly/x") == ["2026-01-11.1"]


def test_the_list_says_who_decided_what_and_why_newest_last(home, monkeypatch, capsys):
    """Catches a ledger that only a database client can read, and markup in a person's words."""
    go_back(home, reason="[bold]odd[/bold] scores")
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(home.home))
    monkeypatch.setenv("COLUMNS", "200")
    assert model_decisions.main(["list", "--model", "churn"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("promoted") < shown.index("demoted")
    for text in ("ada", "[bold]odd[/bold] scores", "v1 after 2026-02-10", "promotion rules"):
        assert text in shown
    assert model_decisions.main(["list", "--model", "nothing"]) == 0
    assert "Nothing has been decided about nothing yet." in capsys.readouterr().out


def test_a_command_that_cannot_be_obeyed_says_why(home, monkeypatch, capsys):
    """Catches a traceback where a person left out a reason or a model."""
    monkeypatch.setenv("NIGHTLEDGER_HOME", str(home.home))
    assert model_decisions.main(["demote", "churn"]) == 1
    assert capsys.readouterr().err.startswith('say why: make demote MODEL=churn REASON="..."')
    assert model_decisions.main(["demote", "", "--reason", "x"]) == 1
    assert "say which" in capsys.readouterr().err


def test_the_snapshot_has_what_pins_are_decided_by(home):
    """Catches a night that cannot see a decision because a column is not copied."""
    with duckdb.connect() as connection:
        operations.snapshot(home, connection)
        rows = connection.execute(
            "select version, champion_after, applies_after from operations.model_decisions order by id"
        ).fetchall()
    assert rows == [("v1", "v1", date(2026, 1, 31)), ("v2", "v2", date(2026, 2, 9))]


def test_what_the_page_says_a_client_may_change_can_be_loaded(tmp_path):
    """Catches an example that is refused, or a safeguard of it that nothing reads."""
    page = (PROJECT / "docs" / "how-to" / "add-a-use-case.md").read_text()
    (example,) = re.findall(r"```yaml\n# clients/demo_bank\.yml\n(.*?)```", page, re.S)
    plain = yaml.safe_load((PROJECT / "clients" / "demo_bank.yml").read_text())
    (tmp_path / "demo_bank.yml").write_text(yaml.safe_dump(plain | yaml.safe_load(example)))
    clients = load_clients(Settings(home=tmp_path, clients=tmp_path, _env_file=None))
    check_clients(clients, config.names())
    client = clients["demo_bank"]
    assert client.loss_limits["fraud"].share == 0.002
    assert who_approves(clients, "fraud") == who_approves(clients, "credit") == ["demo_bank"]
    assert who_approves(clients, "churn") == []
    bands = config.load("churn").with_bands_of({"demo_bank": client.bands["churn"]}).client_bands
    assert bands == {"demo_bank": {"low": 0.0, "medium": 0.08, "high": 0.25}}
