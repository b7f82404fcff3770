"""The nearest brand, the brand seed and the judge's arithmetic."""

import json
from pathlib import Path

import duckdb
import pytest
import yaml

from nightledger.merchants import brands, nearest, suggesting
from nightledger.merchants.evaluation import Answer, Label, is_right, pairwise, read_labels, weighted, wilson
from nightledger.settings import PROJECT

SEEDS = PROJECT / "dbt_project" / "seeds"
LARGEST_HASHED_SEED = 1024 * 1024


def label(
    descriptor: str, merchant: str, *, weight: float = 1, rows: int = 1, is_chain: bool = True
) -> Label:
    """A labelled descriptor without a category."""
    return Label(descriptor, rows, weight, tuple(merchant.split("/")), is_chain, frozenset())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("travelodgeh", "travelodge"),
        ("formula one autocentre", "formula one autocentres"),
        ("starbcuks", "starbucks"),
        ("sportsdirekt leeds", "sports direct"),
    ],
)
def test_a_slip_of_the_pen_keeps_the_brand(name: str, key: str) -> None:
    """Would catch a check so strict that the nearest brand is never accepted."""
    assert nearest.differs_by_slips(name, key)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("mithali restaurant", "coop restaurant"),
        ("premier ink", "premier inn"),
        ("british standards", "british airways"),
        ("ringo", "ringgo"),
        ("gordano", "giordano x"),
    ],
)
def test_another_word_is_not_a_slip(name: str, key: str) -> None:
    """Would catch near letters being taken for the same merchant: such answers are right once in four."""
    assert not nearest.differs_by_slips(name, key)


@pytest.mark.parametrize(
    ("left", "right", "slips"),
    [("abc", "abc", 0), ("abc", "acb", 1), ("abc", "ab", 1), ("", "ab", 2), ("ab", "cd", 2)],
)
def test_slips_are_counted(left: str, right: str, slips: int) -> None:
    """Would catch swapped neighbours being counted twice."""
    assert nearest.slips_between(left, right) == slips


def test_the_nearest_brand_does_not_depend_on_other_names() -> None:
    """Would catch vectors fitted on the night's names: a history load and daily arrival would then differ."""
    keys = ["travelodge", "sports direct", "waterstones"]
    index, similarity = nearest.nearest_keys(["travelodgeh", "quartz"], keys)
    alone, alone_similarity = nearest.nearest_keys(["travelodgeh"], keys)
    assert (index[0], similarity[0]) == (alone[0], alone_similarity[0]) == (0, pytest.approx(similarity[0]))
    assert similarity[1] < nearest.REVIEWED_SIMILARITY


def matches(*rows: tuple[str, str, str | None, str]) -> duckdb.DuckDBPyConnection:
    """A warehouse after the selection `merchants`: (descriptor, name, tier, rules version)."""
    connection = duckdb.connect()
    connection.execute("""
        create schema intermediate;
        create schema staging;
        create table staging.brands (brand_key varchar, subcategory varchar);
        insert into staging.brands values
            ('sun hotel', 'lodging'), ('moon hotel', 'lodging'), ('star hotel', 'lodging'),
            ('zorgon', 'fuel');
        create table intermediate.int_merchant_matches (
            descriptor varchar, name varchar, tier varchar, rules_version varchar);
        create table intermediate.int_merchant_keys (
            written_key varchar, merchant varchar, subcategory varchar, position varchar);
        insert into intermediate.int_merchant_keys values ('travelodge', 'Travelodge', 'lodging', 'start');
    """)
    connection.executemany("insert into intermediate.int_merchant_matches values (?, ?, ?, ?)", rows)
    return connection


def test_only_names_without_an_answer_are_worked_on() -> None:
    """Would catch each night comparing all names again, or a changed rule leaving old answers behind."""
    connection = matches(
        ("TRAVELODGEH", "travelodgeh", None, "v1"),
        ("PAYPAL TRAVELODGEH", "travelodgeh", None, "v1"),
        ("TESCO", "tesco", "alias", "v1"),
    )
    assert nearest.resolve_nearest(connection) == nearest.Nearest(resolved=1, accepted=1, to_review=0)
    assert nearest.resolve_nearest(connection) == nearest.Nearest(0, 0, 0)
    rows = "select descriptor, merchant, is_accepted, rules_version from enrichment.nearest_brands order by 1"
    assert connection.execute(rows).fetchall() == [
        ("PAYPAL TRAVELODGEH", "Travelodge", True, "v1.1"),
        ("TRAVELODGEH", "Travelodge", True, "v1.1"),
    ]
    connection.execute(
        "update intermediate.int_merchant_matches set tier = 'alias' where descriptor like 'PAYPAL%'"
    )
    connection.execute("update intermediate.int_merchant_matches set rules_version = 'v2'")
    assert nearest.resolve_nearest(connection).resolved == 1
    assert connection.execute(rows).fetchall() == [("TRAVELODGEH", "Travelodge", True, "v2.1")]


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Domino's Pizza", "dominos pizza"),
        ("CAFÉ  Nero", "cafe nero"),
        ("H&M", "h m"),
        ("365 12345", "365 #"),
    ],
)
def test_names_are_folded(text: str, folded: str) -> None:
    """Would catch brands that no descriptor can meet, because the two are folded differently."""
    assert brands.fold(text) == folded


KEYS = ["sun hotel", "moon hotel", "star hotel", "sun garage", "moon garage", "star garage"]
KINDS = ["lodging"] * 3 + ["vehicle"] * 3


def test_words_suggest_a_category_or_nothing() -> None:
    """Would catch a classifier that always answers, with its favourite where it knows no word."""
    suggested = suggesting.suggest(["crescent hotel", "crescent hardware", "sun"], KEYS, KINDS)
    assert [answer.subcategory for answer in suggested] == ["lodging", None, None]


def test_suggestions_are_judged_on_merchants_held_back_whole() -> None:
    """Would catch random folds: the second spelling of a brand that was seen is no unseen merchant."""
    keys = ["zorgon oil", "zorgon fuel", "zorgon gas", "quartz bread", "quartz cake", "quartz bun"]
    kinds = ["fuel"] * 3 + ["specialist_food"] * 3
    merchants = ["Zorgon"] * 3 + ["Quartz"] * 3
    asked, suggested, right = suggesting.held_back(keys + KEYS, merchants + KEYS, kinds + KINDS, folds=8)
    assert (asked, right) == (12, suggested)
    assert suggested <= len(KEYS)


def write_index(folder: Path, items: dict[str, list[dict[str, object]]]) -> Path:
    """A copy of the index with all its kinds, empty but for some."""
    kinds = yaml.safe_load(brands.KINDS.read_text())
    for path in (path for paths in kinds.values() for path in paths):
        file = folder / f"{path}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"items": items.get(path, [])}))
    return folder


def test_a_brand_belongs_to_its_countries(tmp_path: Path) -> None:
    """Would catch a foreign shop of the same name, or a branch's second kind, taking a brand's place."""
    tesco = {"brand": "Tesco", "name": "Tesco"}
    folder = write_index(
        tmp_path,
        {
            "shop/supermarket": [
                {"displayName": "Tesco", "tags": tesco, "locationSet": {"include": ["001"]}}
            ],
            "amenity/fuel": [{"displayName": "Tesco", "tags": tesco, "locationSet": {"include": ["gb"]}}],
            "shop/books": [
                {
                    "displayName": "The Works",
                    "tags": {"brand": "The Works"},
                    "locationSet": {"include": ["gb-eng", "ie"]},
                }
            ],
            "amenity/restaurant": [
                {
                    "displayName": "The Works",
                    "tags": {"brand": "The Works"},
                    "locationSet": {"include": ["ca"]},
                },
                {"displayName": "{template}", "templateSource": "x"},
            ],
            "shop/convenience": [
                {"displayName": "Box", "tags": {"brand": "Box"}, "locationSet": {"include": ["gb"]}}
            ],
        },
    )
    found = brands.read(folder, {"works": 4.5, "box": 5.0, "tesco": 3.5}.get)  # type: ignore[arg-type]
    assert found == [
        brands.Brand("tesco", "Tesco", "supermarket", is_common=True, countries=()),
        brands.Brand("the works", "The Works", "books_stationery", is_common=True, countries=("gb", "ie")),
        brands.Brand("the works", "The Works", "restaurant", is_common=True, countries=("ca",)),
    ]


def test_seeds_are_small_enough_to_be_hashed_by_content() -> None:
    """Would catch a larger seed: dbt hashes its path only, and a night would not notice that it changed."""
    assert {file.name for file in SEEDS.glob("*.csv") if file.stat().st_size >= LARGEST_HASHED_SEED} == set()


def test_right_is_the_name_that_was_read() -> None:
    """Would catch a judge that lets one chain pass for another, or is strict about blanks and cut fields."""
    assert is_right(label("a", "Welcome Break/KFC"), Answer("KFC", None, "alias"))
    assert not is_right(label("a", "Tesco Mobile"), Answer("Tesco", None, "alias"))
    assert is_right(label("a", "Baker Ross", is_chain=False), Answer("Bakerross", None, "name"))
    assert is_right(label("a", "The Fox", is_chain=False), Answer("Fox", None, "name"))
    assert is_right(
        label("a", "Watkin Davies Insurance", is_chain=False), Answer("Watkin Davies Ins", None, "name")
    )
    assert not is_right(label("a", "The Fox", is_chain=False), Answer("Fox And Hounds", None, "name"))


def test_a_label_stands_for_its_stratum() -> None:
    """Would catch shares of the sample being passed off as shares of all descriptors."""
    labels = [label("a", "A", weight=9), label("b", "B", weight=1)]
    share = weighted(labels, lambda one: one.descriptor == "a", lambda one: one.weight)
    assert share.value == pytest.approx(0.9)
    assert (share.lo, share.hi, share.n) == (0.0, 1.0, 2)
    drawn = read_labels(PROJECT / "tests" / "data" / "merchant_labels.csv")
    assert len(drawn) == 299
    assert {one.weight for one in drawn if one.is_chain and one.weight < 1} == set()


def test_wilson_is_the_textbook_interval() -> None:
    """Would catch an interval that reaches beyond 1, or is empty where all were right."""
    share = wilson(9, 10)
    assert (share.lo, share.hi) == (pytest.approx(0.5958, abs=1e-4), pytest.approx(0.9821, abs=1e-4))
    assert wilson(10, 10).lo == pytest.approx(0.7225, abs=1e-4)
    assert str(wilson(0, 0)) == "–"


def test_pairs_tell_apart_splitting_and_lumping() -> None:
    """Would catch precision and recall being swapped, or unknown merchants counting as one merchant."""
    labels = [
        label(name, merchant)
        for name, merchant in [("a", "X"), ("b", "X"), ("c", "Y"), ("d", "Z"), ("e", "Z")]
    ]
    answers = {
        "a": Answer("X", None, "alias"),
        "b": Answer("X", None, "alias"),
        "c": Answer("X", None, "prefix"),
        "d": Answer("unknown", None, "unknown"),
        "e": Answer("unknown", None, "unknown"),
    }
    precision, recall = pairwise(labels, answers)
    assert precision.value == pytest.approx(1 / 3)
    assert recall.value == pytest.approx(1 / 2)
