"""A published score is computed again from the archive, and nothing that was changed goes unnoticed."""

import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml import config, scoring, training
from ml.features import Feature
from ml.registry import Registry, RegistryError
from ml.scores import receipts, replay
from ml.scores.adverse_action import Catalogue
from ml.scores.config import UseCase
from ml.scores.receipts import ReceiptError, find
from ml.scores.replay import ReplayError
from nightledger.night import completion
from nightledger.settings import PROJECT
from tests.unit.ml.bank import LAST, Bank

Trained = tuple[Bank, training.TrainingOutcome]
genuine = config.read
"""Use cases as their files have them: every test runs under a changed one."""


def publish(bank: Bank, version: str, model: str = "churn", role: str = "champion") -> list[str]:
    """Score the night, archive it, and let its marts say so; the receipts in the order of the rows."""
    bank.run("delete from ops.model_pins")
    bank.pin(version)
    bank.run(f"update ops.model_pins set model = '{model}', role = '{role}'")
    scoring.score_night(bank.settings, bank.build)
    completion.archive_scores(bank.settings, bank.build.name, bank.build)
    bank.run("create schema marts")
    tables = {"fct_scores": "scores", "fct_score_reasons": "reasons", "fct_what_if": "what_if"}
    for table, kind in tables.items():
        files = bank.build / "lake" / kind / "*" / "*" / "*" / "*.parquet"
        bank.run(f"create table marts.{table} as select * from read_parquet('{files}')")
    return [receipt for (receipt,) in bank.ask("select receipt_id from marts.fct_scores order by entity_id")]


@pytest.fixture
def published(trained: Trained) -> tuple[Bank, list[str]]:
    """A bank whose last night is archived and published, and its receipts."""
    bank, outcome = trained
    return bank, publish(bank, str(outcome.version))


def archived(bank: Bank, kind: str) -> Path:
    (path,) = bank.settings.archive.glob(f"{bank.build.name}/{kind}/*/*/*/part.parquet")
    return path


def rewrite(path: Path, receipt_id: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change the archived row of a receipt."""
    table = pq.read_table(path)
    rows = [change(row) if row.get("receipt_id") == receipt_id else row for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def next_float(number: float) -> float:
    """The number with its last bit changed, as a 32-bit float."""
    return float((np.float32(number).view(np.uint32) ^ np.uint32(1)).view(np.float32))


def run(monkeypatch: pytest.MonkeyPatch, bank: Bank, receipt_id: str) -> int:
    monkeypatch.setattr("sys.argv", ["ml.scores.replay", receipt_id])
    monkeypatch.setattr(replay, "read_settings", lambda: bank.settings)
    return replay.main()


def test_every_score_of_a_night_is_computed_again_bit_by_bit(published: tuple[Bank, list[str]]) -> None:
    """Catches a score that hangs on its batch, on the thread count or on what is not archived."""
    bank, ids = published
    model = Registry(bank.settings).load("churn", find(bank.settings, ids[0])[0].key["model_version"])
    assert len(ids) > 300
    for receipt_id in ids[::7]:
        (scored,) = find(bank.settings, receipt_id)
        again = replay._again(scored, model, receipt_id, [scored.record])
        assert again.differences == ()
        assert again.now.reasons == scored.record.reasons
        assert np.float32(again.now.said["score"]) == np.float32(scored.record.said["score"])


def test_a_receipt_is_told_in_plain_words(
    published: tuple[Bank, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a replay that says "matches" and not who was scored, by what, for which publication."""
    bank, ids = published
    (row,) = bank.ask(f"from marts.fct_scores where receipt_id = '{ids[0]}'")
    (scored,) = find(bank.settings, ids[0])
    assert run(monkeypatch, bank, ids[0]) == 0
    said = capsys.readouterr().out
    version = scored.circumstances.version
    registered = Registry(bank.settings).known("churn", version)
    for text in (
        ids[0],
        f"customer {scored.key['entity_id']} of client tester",
        LAST.isoformat(),
        f"churn {version}, champion",
        registered.artefact_sha256,
        "publication 2025-12-31.1, still there; git revision abc123",
        f"band {scored.record.said['band']}",
        *(reason["text"] for reason in scored.record.reasons),
        *(name for name in scored.vector.column_names[6:]),
        "matches, bit by bit: archive of 2025-12-31.1, publication 2025-12-31.1",
    ):
        assert text in said, text
    assert scored.key["entity_id"] in row


def test_a_publication_that_is_gone_is_not_needed(
    published: tuple[Bank, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches words, definitions or a catalogue that only the pruned publication had."""
    bank, ids = published
    shutil.rmtree(bank.build)
    assert run(monkeypatch, bank, ids[7]) == 0
    said = capsys.readouterr().out
    assert "publication 2025-12-31.1, gone; git revision abc123" in said
    assert "matches, bit by bit: archive of 2025-12-31.1\n" in said


def test_other_words_and_bands_since_then_change_no_replay(
    published: tuple[Bank, list[str]], configure: Callable[..., UseCase]
) -> None:
    """Catches a replay by today's YAML: bands and words may change without another version."""
    bank, ids = published
    configure(bands={"low": 0.0, "medium": 0.001, "high": 0.002}, reasons={"top": 1, "texts": {}})
    assert [one.differences for one in replay.replay(bank.settings, ids[3])] == [()]


def test_a_vector_with_another_bit_is_found(
    published: tuple[Bank, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches an archive that was changed where no tree looks: the score would still be the same."""
    bank, ids = published

    def flip(row: dict[str, Any]) -> dict[str, Any]:
        return row | {"transactions_90d": next_float(row["transactions_90d"])}

    rewrite(archived(bank, "vectors"), ids[0], flip)
    (again,) = replay.replay(bank.settings, ids[0])
    assert "archive of 2025-12-31.1: the vector is not the one that was scored" in again.differences[0]
    assert not any("score was" in text for text in again.differences)
    assert run(monkeypatch, bank, ids[0]) == 1
    assert "matches" not in capsys.readouterr().out


def test_a_vector_of_somebody_else_is_found(published: tuple[Bank, list[str]]) -> None:
    """Catches a receipt that says nothing of whom it is for."""
    bank, ids = published
    for kind in ("vectors", "scores"):
        rewrite(archived(bank, kind), ids[0], lambda row: row | {"entity_id": "c9999"})
    assert "not of whom the row says" in replay.replay(bank.settings, ids[0])[0].differences[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("score = {next}::float", "publication 2025-12-31.1: score was"),
        ("band = 'none'", "publication 2025-12-31.1: band was none, now is "),
        ("score_hi = null", "publication 2025-12-31.1: score_hi was missing, now is "),
        ("support = support + 1", "publication 2025-12-31.1: support was "),
        ("is_out_of_range = not is_out_of_range", "publication 2025-12-31.1: is_out_of_range was "),
    ],
)
def test_a_published_score_that_was_changed_is_found(
    published: tuple[Bank, list[str]], change: str, said: str
) -> None:
    """Catches a comparison with the archive only, or one that forgives the last bit."""
    bank, ids = published
    (score,) = bank.ask(f"select score from marts.fct_scores where receipt_id = '{ids[0]}'")[0]
    change = change.format(next=next_float(score))
    bank.run(f"update marts.fct_scores set {change} where receipt_id = '{ids[0]}'")
    (again,) = replay.replay(bank.settings, ids[0])
    assert len(again.differences) == 1
    assert said in again.differences[0]


def test_a_published_reason_that_was_changed_is_found(published: tuple[Bank, list[str]]) -> None:
    """Catches reasons that are printed and not compared."""
    bank, ids = published
    explained = next(i for i in ids if find(bank.settings, i)[0].record.reasons)
    entity = find(bank.settings, explained)[0].key["entity_id"]
    bank.run(f"update marts.fct_score_reasons set text = 'x' where entity_id = '{entity}' and rank = 1")
    (again,) = replay.replay(bank.settings, explained)
    assert len(again.differences) == 1
    assert "reason 1, text was x, now is " in again.differences[0]
    bank.run(f"delete from marts.fct_score_reasons where entity_id = '{entity}'")
    assert "there were 0 reasons" in replay.replay(bank.settings, explained)[0].differences[0]


def test_a_published_what_if_that_was_changed_is_found(published: tuple[Bank, list[str]]) -> None:
    """Catches what-ifs that are published and never computed again, or compared with themselves."""
    bank, ids = published
    explained = next(i for i in ids if find(bank.settings, i)[0].record.reasons)
    (scored,) = find(bank.settings, explained)
    assert len(scored.record.what_ifs) == len(scored.record.reasons)
    entity, without = scored.key["entity_id"], scored.record.what_ifs[0]["score_without"]
    change = f"score_without = {next_float(without)}::float where entity_id = '{entity}' and rank = 1"
    bank.run(f"update marts.fct_what_if set {change}")
    (again,) = replay.replay(bank.settings, explained)
    assert len(again.differences) == 1
    assert "publication 2025-12-31.1: what-if 1, score_without was" in again.differences[0]
    table = pq.read_table(archived(bank, "what_if"))
    moved = [
        row | {"typical": row["typical"] + 1} if row["entity_id"] == entity else row
        for row in table.to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(moved, schema=table.schema), archived(bank, "what_if"))
    (again,) = replay.replay(bank.settings, explained)
    assert any("what-if 1, typical was" in text for text in again.differences)


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
def test_a_changed_artefact_is_refused(published: tuple[Bank, list[str]], name: str) -> None:
    """Catches a replay by another model than the one that was registered."""
    bank, ids = published
    (path,) = bank.settings.registry.glob(f"models/churn/*/{name}")
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(RegistryError, match=f"hash of {name} differs"):
        replay.replay(bank.settings, ids[0])


def test_an_artefact_registered_anew_under_the_same_version_is_refused(
    published: tuple[Bank, list[str]],
) -> None:
    """Catches files and registry changed together: only the archive knows the hash that scored."""
    bank, ids = published
    path = archived(bank, "vectors").with_name(receipts.FILE)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"artefact_sha256": "0" * 64}))
    with pytest.raises(ReplayError, match="is not the model that scored"):
        replay.replay(bank.settings, ids[0])


def test_an_unknown_receipt_is_answered(
    published: tuple[Bank, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a stack trace, or an empty "matches", for a typo."""
    bank, _ = published
    assert run(monkeypatch, bank, "ab" * 32) == 1
    assert "No score with receipt abab" in capsys.readouterr().err
    assert run(monkeypatch, bank, "ab") == 1
    assert "'ab' is no receipt" in capsys.readouterr().err


def test_an_empty_home_is_answered_and_stays_empty(bank: Bank, tmp_path: Path) -> None:
    """Catches a question that makes a registry."""
    settings = bank.settings.model_copy(update={"home": tmp_path / "nothing"})
    with pytest.raises(ReplayError, match="No score"):
        replay.replay(settings, "ab" * 32)
    assert not settings.registry.exists()


@pytest.mark.parametrize("kind", ["scores", "reasons", "what_if", "receipt.json", "publication.json"])
def test_what_is_gone_from_the_archive_is_named(published: tuple[Bank, list[str]], kind: str) -> None:
    """Catches a replay that matches because there is nothing to compare with."""
    bank, ids = published
    path = {
        "receipt.json": archived(bank, "vectors").with_name("receipt.json"),
        "publication.json": bank.settings.archive / bank.build.name / "publication.json",
    }.get(kind) or archived(bank, kind)
    path.unlink()
    with pytest.raises(ReceiptError, match=path.name):
        replay.replay(bank.settings, ids[0])


def test_a_night_that_is_run_again_archives_the_same_but_for_the_publications_name(
    published: tuple[Bank, list[str]],
) -> None:
    """Catches a clock, a publication or a revision in what two equal nights must share."""
    bank, ids = published
    first = bank.settings.archive / bank.build.name
    scoring.score_night(bank.settings, bank.build)
    description = json.loads((bank.build / "publication.json").read_text())
    (bank.build / "publication.json").write_text(json.dumps(description | {"id": "2025-12-31.2"}))
    completion.archive_scores(bank.settings, "2025-12-31.2", bank.build)
    second = bank.settings.archive / "2025-12-31.2"
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    differ = [str(name) for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert differ == ["publication.json"]
    done = replay.replay(bank.settings, ids[0])
    assert [one.scored.publication["id"] for one in done] == ["2025-12-31.1", "2025-12-31.2"]
    assert all(one.differences == () for one in done)


def test_a_half_written_archive_is_not_read(published: tuple[Bank, list[str]]) -> None:
    """Catches what a killed publish left, taken for an archive."""
    bank, ids = published
    part = bank.settings.archive / "2025-12-31.2.part"
    shutil.copytree(bank.settings.archive / bank.build.name, part)
    (part / "publication.json").unlink()
    assert len(replay.replay(bank.settings, ids[0])) == 1


def test_a_challengers_score_is_replayed_too(trained: Trained) -> None:
    """Catches a replay that knows champions only."""
    bank, outcome = trained
    ids = publish(bank, str(outcome.version), role="challenger")
    (again,) = replay.replay(bank.settings, ids[0])
    assert again.differences == ()
    assert again.scored.record.role == "challenger"


def test_reasons_from_comparisons_are_replayed(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a forest whose reasons need the past and the peers that a pruned publication took along."""
    values = genuine("anomaly").model_dump(exclude={"bands"})
    values["estimator"] |= {"trees": 60, "sample": 256, "quota": 0.05}
    values["confidence"] |= {"ages": {}}
    monkeypatch.setattr(config, "read", lambda _model, _folder=None: UseCase(**values))
    for column in bank.columns.values():
        column["config"]["meta"]["allowed_in"] = ["anomaly"]
    bank.write_manifest()
    bank.run(
        "update features.features_customers set max_transaction_amount_90d = 5000"
        f" where customer_id = 'c0007' and as_of_date = '{LAST}'"
    )
    outcome = training.train(bank.settings, "anomaly.tester")
    ids = publish(bank, str(outcome.version), "anomaly.tester")
    shutil.rmtree(bank.build)
    explained = 0
    model = Registry(bank.settings).load("anomaly.tester", str(outcome.version))
    told = duckdb.sql(f"select distinct entity_id from '{archived(bank, 'reasons')}'").fetchall()
    scores = duckdb.sql(f"from '{archived(bank, 'scores')}'").to_arrow_table().to_pylist()
    unusual = [row["receipt_id"] for row in scores if (row["entity_id"],) in told]
    for receipt_id in unusual + ids[::15]:
        (scored,) = find(bank.settings, receipt_id)
        again = replay._again(scored, model, receipt_id, [scored.record])
        assert again.differences == ()
        explained += bool(again.now.reasons)
    assert explained >= len(unusual) > 5
    usual = archived(bank, "usual")
    pq.write_table(pq.read_table(usual).slice(0, 0), usual)
    assert "now there are 0" in replay.replay(bank.settings, unusual[0])[0].differences[0]


def test_what_a_score_was_made_with_comes_back_as_it_was(tmp_path: Path) -> None:
    """Catches a catalogue, a feature or a number that the archive turns into something else."""
    catalogue = Catalogue.from_file(PROJECT / "dbt_project" / "seeds" / "adverse_action_reasons.csv")
    features = (
        Feature("a", "the a", "days", "1" * 64, group="recency"),
        Feature("b", "the b", "code", "2" * 64, "attributes.x", type="VARCHAR", values=("no", "yes")),
    )
    made = receipts.Circumstances(
        "credit", "2026-01-01-abc", date(2026, 1, 31), "f" * 64, genuine("credit"), features, catalogue
    )
    made.write(tmp_path)
    assert receipts.Circumstances.read(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == [receipts.FILE]


def test_a_file_of_other_code_is_answered_with_what_to_do(tmp_path: Path) -> None:
    """Catches a stack trace of the settings library years later."""
    made = receipts.Circumstances("churn", "v", LAST, "f" * 64, genuine("churn"), (), None)
    made.write(tmp_path)
    content = json.loads((tmp_path / receipts.FILE).read_text())
    content["use_case"]["of_another_year"] = 1
    (tmp_path / receipts.FILE).write_text(json.dumps(content))
    with pytest.raises(ReceiptError, match="git revision"):
        receipts.Circumstances.read(tmp_path)


def test_a_publication_is_compared_with_the_night_that_it_has_the_score_from(
    published: tuple[Bank, list[str]], configure: Callable[..., UseCase]
) -> None:
    """Catches a night that was rolled back, or a later one with other bands, taken for what readers see."""
    bank, ids = published
    (row,) = bank.ask(f"select band, score from marts.fct_scores where receipt_id = '{ids[0]}'")
    description = json.loads((bank.build / "publication.json").read_text())
    # The next night is built on the first and has its scores; one that was rolled back had other bands.
    later = bank.settings.builds / "2026-01-01.1"
    shutil.copytree(bank.build, later)
    (later / "publication.json").write_text(
        json.dumps(description | {"id": later.name, "base": bank.build.name})
    )
    configure(bands={"low": 0.0, "medium": 0.0000001, "high": 0.0000002})
    scoring.score_night(bank.settings, bank.build)
    again = bank.settings.builds / "2025-12-31.2"
    shutil.copytree(bank.build, again)
    (again / "publication.json").write_text(
        json.dumps(description | {"id": again.name, "base": bank.build.name})
    )
    completion.archive_scores(bank.settings, again.name, again)
    shutil.rmtree(again)
    first, second = replay.replay(bank.settings, ids[0])
    assert first.differences == second.differences == ()
    assert [record.place for record in first.compared] == [
        "archive of 2025-12-31.1",
        "publication 2025-12-31.1",
        "publication 2026-01-01.1",
    ]
    assert [record.place for record in second.compared] == ["archive of 2025-12-31.2"]
    assert (first.now.said["band"], second.now.said["band"]) == (row[0], "high")
