"""Merchants over time: what is said of them later changes the newest answers and no published date."""

import csv
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from nightledger import operations, warehouse
from nightledger.merchants import corrections, impact
from nightledger.settings import PROJECT, Settings
from tests.dbt.nights import CARDS, Nights, hour

D1, D2, D3 = date(2026, 1, 5), date(2026, 1, 6), date(2026, 1, 7)
TEXTS = ("ACMEX ONE", "ACMEX TWO", "ZEDX BAR")
FEATURES = """
    select as_of_date, cast(distinct_merchants_90d as integer) from features.features_customers
    where customer_id = 'c1' order by 1
"""
CURRENT = """
    select descriptor, merchant, tier, rules_version = 'correction 1' from intermediate.int_merchants
    where superseded_at is null order by 1
"""


def released(project: Path) -> Path:
    """A copy of the dbt project in which all three texts are one merchant."""
    shutil.copytree(PROJECT / "dbt_project", project, ignore=shutil.ignore_patterns("target", "logs"))
    seed = project / "seeds" / "merchant_aliases.csv"
    with seed.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for text in TEXTS:
        rows.append(rows[0] | {"alias_key": text.lower(), "merchant": "Together", "subcategory": "bar"})
    with seed.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return project


def said_of_business(nights: Nights) -> dict[str, Any]:
    """Hashes of what is published; not of tables that only help to build tonight's dates."""
    kept = ("int_merchant", "int_movements", "int_transactions")
    return {
        name: value
        for name, value in nights.tables().items()
        if not name.startswith("intermediate.") or name.split(".")[1].startswith(kept)
    }


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Any, Any]]:
    """Three nights: texts of one customer; a correction; its withdrawal together with a release of rules.

    After each night what its publication says, and at the end the last night once more, built from nothing.
    """
    home = tmp_path_factory.mktemp("merchants")
    nights = Nights(home / "home", cards=CARDS)
    told: dict[Any, Any] = {"nights": nights}
    with pytest.MonkeyPatch.context() as patch:

        def run(day: date, *records: str, **how: bool) -> None:
            patch.setattr(operations, "clock", lambda: hour(day, 3))
            if records:
                nights.file(f"cards_{day}.csv", *records, known_at=hour(day))
            nights.run(day, **how)
            moment = (day, len([key for key in told if isinstance(key, tuple) and key[0] == day]))
            told[moment] = {
                "features": nights.rows(FEATURES),
                "current": nights.rows(CURRENT),
                "tables": said_of_business(nights),
                "touched": nights.rows("select business_date from ops.touched_days order by 1"),
            }

        run(D1, *(f"t{i},c1,{D1},-10,{text},C" for i, text in enumerate(TEXTS)))
        told["correction"] = corrections.correct(
            nights.settings, pattern="ACMEX%", merchant="Acmex", reason="one chain", by="ada"
        )
        run(D2, f"u1,c2,{D2},-5,OTHERX SHOP,C")
        corrections.withdraw(nights.settings, 1, reason="two chains after all", by="bob")
        project = released(home / "project")
        patch.setattr(Settings, "dbt_project", property(lambda _: project))
        run(D3, f"v1,c2,{D3},-5,OTHERX SHOP,C")
        run(D3, force=True, whole=True)

        yield told


def test_a_correction_wins_from_the_next_night_on(story: dict[Any, Any]) -> None:
    """Catches a correction that is recorded and never obeyed, or whose old days keep the old merchant."""
    assert (story["correction"].descriptors, story["correction"].transactions) == (2, 2)
    assert [row[2] for row in story[D1, 0]["current"]] == ["name"] * 3
    assert story[D2, 0]["current"][:2] == [
        ("ACMEX ONE", "Acmex", "correction", True),
        ("ACMEX TWO", "Acmex", "correction", True),
    ]
    assert story[D2, 0]["touched"] == [(D1,), (D2,)], "the day before is built again"
    assert [row[1] for row in story[D3, 0]["current"] if row[2] != "name"] == ["Together"] * 3


def test_no_later_word_about_a_merchant_changes_a_published_date(story: dict[Any, Any]) -> None:
    """Catches features of the past that learn from corrections and rules of today."""
    assert story[D1, 0]["features"] == [(D1, 3)]
    assert story[D2, 0]["features"] == [(D1, 3), (D2, 2)]
    assert story[D3, 0]["features"] == [(D1, 3), (D2, 2), (D3, 1)]


def test_a_night_built_from_nothing_gives_the_same_past(story: dict[Any, Any]) -> None:
    """Catches versions of merchants that a whole rebuild loses, and with them what was believed."""
    for once, again in zip(story[D3, 0]["tables"].items(), story[D3, 1]["tables"].items(), strict=True):
        assert once == again
    assert story[D3, 1]["features"] == story[D3, 0]["features"]


def test_each_understanding_of_a_transaction_is_valid_in_its_own_time(story: dict[Any, Any]) -> None:
    """Catches a release that overwrites what was said before, or leaves two current versions."""
    nights: Nights = story["nights"]
    versions = nights.rows("""
        select merchant, known_at, superseded_at from intermediate.int_transactions
        where descriptor = 'ACMEX ONE' order by known_at
    """)
    known = [hour(D1), hour(D1, 2), hour(D2, 2)]
    assert [(name, start, end) for name, start, end in versions] == [
        (versions[0][0], known[0], known[1]),
        ("Acmex", known[1], known[2]),
        ("Together", known[2], None),
    ]
    assert versions[0][0] not in ("Acmex", "Together")


def test_a_warehouse_made_anew_knows_what_the_rules_of_before_said(story: dict[Any, Any]) -> None:
    """Catches a restore that builds past dates with the newest rules."""
    before: Nights = story["nights"]
    anew = Nights(before.settings.home.parent / "anew", cards=CARDS)
    shutil.copytree(before.settings.home / "inbox", anew.settings.home / "inbox", dirs_exist_ok=True)
    shutil.copy(before.settings.home / "operations.db", anew.settings.home / "operations.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "clock", lambda: hour(D3, 3))
        project = before.settings.home.parent / "project"
        patch.setattr(Settings, "dbt_project", property(lambda _: project))
        anew.runs = before.runs
        anew.run(D3)
        with warehouse.connect(anew.settings.builds / "current", settings=anew.settings) as connection:
            versions = connection.execute(VERSIONS).fetchall()
    assert versions == before.rows(VERSIONS)


VERSIONS = """
    select descriptor, merchant, tier, known_at, superseded_at from intermediate.int_merchants order by all
"""


def test_an_impact_is_counted_before_a_night_and_changes_nothing(
    story: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an impact that counts what is published already, or that leaves its mark on it."""
    nights: Nights = story["nights"]
    project = nights.settings.home.parent / "project"
    monkeypatch.setattr(Settings, "dbt_project", property(lambda _: project))
    before, entries = said_of_business(nights), len(operations.correction_log(nights.settings))
    corrections.correct(
        nights.settings, descriptor="OTHERX SHOP", subcategory="gambling", reason="saw it", by="ada"
    )
    found = impact.measure(nights.settings)
    assert (found.corrections, found.others) == (1, [])
    assert found.descriptors == [("name", "correction", 1)]
    assert (found.transactions["merchant"], found.transactions["category"]) == (0, 2)
    assert found.all_transactions == 5
    features = found.features["features_customers"]
    assert (features.changed, features.added, features.removed) == (1, 0, 0)
    assert features.columns
    assert found.scores == {"models": []}, "no model scored the date"
    impact.show(found)
    assert said_of_business(nights) == before
    assert [row["known_at"] for row in operations.correction_log(nights.settings)[entries:]] == [None]


def test_unresolved_names_get_their_nearest_brand_in_the_night(story: dict[Any, Any]) -> None:
    """Catches a night that leaves out the step between the two dbt selections."""
    nights: Nights = story["nights"]
    looked_at = nights.rows("select distinct descriptor from enrichment.nearest_brands order by 1")
    assert ("OTHERX SHOP",) in looked_at
    known_at: datetime = nights.rows("select max(cutoff_at) from ops.base_horizon")[0][0]
    assert known_at == hour(D3, 2), "the base of the last night is the publication of the same date"
