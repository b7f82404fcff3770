"""Reasons for a decline: from the reviewed catalogue, against the approved, and true of the model."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.scores.adverse_action import COLUMNS, Catalogue, CatalogueError, mean_of_approved, reasons
from ml.scores.boosted import BoostedTrees
from ml.scores.config import UseCase
from ml.scores.points import Scale
from nightledger.model_files import model_files
from nightledger.settings import PROJECT

SEED = PROJECT / "dbt_project" / "seeds" / "adverse_action_reasons.csv"
FEATURE_FILES = ("_credit__models.yml", "_features__models.yml")
PROTECTED = re.compile(
    r"\bage\b|\bbirth|gender|\bsex\b|region|\bcity\b|country|away|home|health|medic|child|education|people|"
    r"famil|marri|religio|ethnic|nation|disab|pregnan|tenure|time of day|night|weekend"
)
"""Protected attributes and what stands in for them: where somebody is, health, family, whom they pay."""


def allowed_in_credit() -> dict[str, str]:
    """Label of each feature that the credit model may use, by the dbt project."""
    labels = {}
    for name in FEATURE_FILES:
        content = yaml.safe_load((PROJECT / "dbt_project" / "models" / "features" / name).read_text())
        for column in (column for model in content["models"] for column in model["columns"]):
            meta = column.get("config", {}).get("meta", {})
            if "credit" in meta.get("allowed_in", ()):
                labels[column["name"]] = meta["label"]
    return labels


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """The catalogue as committed."""
    return Catalogue.from_file(SEED)


def test_each_feature_of_credit_has_one_place_in_the_catalogue(catalogue: Catalogue) -> None:
    """A feature that moves declines and that nobody has decided about; a line for a feature that is gone."""
    assert set(catalogue.codes) | catalogue.withheld == set(allowed_in_credit())
    assert 12 <= len(catalogue.sentences) <= 18


def test_no_two_codes_share_a_cause(catalogue: Catalogue) -> None:
    """One cause told twice under two codes, which pushes another reason off the letter."""
    assert len({cause.lower() for cause in catalogue.causes.values()}) == len(catalogue.causes)
    assert len({sentence.lower() for sentence in catalogue.sentences.values()}) == len(catalogue.sentences)
    assert set(catalogue.causes) == set(catalogue.sentences) == set(catalogue.codes.values())


def test_no_reason_is_protected_or_stands_in_for_it(catalogue: Catalogue) -> None:
    """Age, sex, region, health, family or payments to people given, or used, as a reason for a decline."""
    labels = allowed_in_credit()
    for feature, code in catalogue.codes.items():
        name = feature.replace("_", " ")
        words = f"{name} {labels[feature]} {catalogue.causes[code]} {catalogue.sentences[code]}"
        assert not PROTECTED.search(words.lower()), (feature, words)
    assert PROTECTED.search(labels["share_education_children"]), "the pattern finds what is withheld"
    assert not {"share_health", "share_people_transfers"} & set(labels)


def test_the_model_is_held_to_the_directions_of_the_catalogue(catalogue: Catalogue) -> None:
    """A reason that tells an applicant to improve what would not help: a constraint missing or turned."""
    # Not by `load`: the tests of this folder put a smaller configuration in its place.
    file = model_files([PROJECT / "ml" / "models"])["credit"]
    use_case = UseCase(name="credit", **file.said())
    monotone = use_case.boosted.monotone
    assert {name: monotone.get(name) for name in catalogue.directions} == catalogue.directions
    assert set(monotone) <= set(catalogue.directions) | catalogue.withheld
    texts = use_case.reasons.texts
    assert {name: texts[name].code for name in catalogue.codes} == dict(catalogue.codes)
    assert set(texts) == set(catalogue.codes)


ROWS = [
    ("A", "arrears", "owed", "1", "you owe", "true"),
    ("A", "arrears", "late", "1", "you owe", "true"),
    ("B", "income", "income", "-1", "you earn little", "true"),
    ("", "", "noise", "", "", "false"),
]
FEATURES = ("noise", "income", "late", "owed")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("C", "other", "owed", "1", "else", "true"), "stands twice"),
        (("", "", "owed", "", "", "false"), "stands twice"),
        (("C", "arrears", "new", "1", "else", "true"), "share a cause"),
        (("C", "other", "new", "1", "you owe", "true"), "share a cause or a sentence"),
        (("A", "other", "new", "1", "you owe", "true"), "another cause"),
        (("C", "other", "new", "", "else", "true"), "no code, cause, direction"),
        (("", "other", "new", "1", "else", "true"), "no code, cause, direction"),
    ],
)
def test_a_catalogue_that_contradicts_itself_is_refused(row: tuple[str, ...], message: str) -> None:
    """A code that means two things, or two codes that mean one, found by an applicant."""
    with pytest.raises(CatalogueError, match=message):
        Catalogue.from_rows([*ROWS, row])


def test_reasons_are_summed_within_a_code_and_counted_from_the_approved() -> None:
    """Reasons counted from zero, one cause told twice, a reason in the applicant's favour or withheld."""
    contributions = np.array(
        [[9.0, 0.5, 0.4, 0.3], [9.0, 0.1, 0.2, 0.2], [0.0, 0.1, 0.1, 0.1]], dtype=np.float32
    )
    reference = mean_of_approved(contributions, FEATURES, np.array([False, False, True]))
    told = reasons(contributions, FEATURES, reference, Catalogue.from_rows(ROWS))
    assert [[(r.code, r.feature, round(r.weight, 6)) for r in row] for row in told] == [
        [("A", "late", 0.5), ("B", "income", 0.4)],
        [("A", "late", 0.2)],
        [],
    ]
    assert told[0][0].sentence == "you owe"
    assert [
        len(row) for row in reasons(contributions, FEATURES, reference, Catalogue.from_rows(ROWS), top=1)
    ] == [
        1,
        1,
        0,
    ]
    assert mean_of_approved(contributions, FEATURES, np.zeros(3, dtype=np.bool_)) == {}


def test_a_feature_that_nobody_has_judged_stops_the_reasons() -> None:
    """A new feature that decides declines and is silently never told."""
    with pytest.raises(CatalogueError, match="newcomer"):
        reasons(np.zeros((1, 1), np.float32), ("newcomer",), {}, Catalogue.from_rows(ROWS))


# Below: a booster that was really trained with the constraints of the credit model.

USED = ("instalments_owed", "days_past_due", "avg_balance_90d", "total_credit_limit", "months_on_book")
SCALE = Scale(anchor=600, odds=50, double_odds=20)


@pytest.fixture(scope="module")
def trees(catalogue: Catalogue) -> BoostedTrees:
    """A small booster on made-up borrowers, some of whose columns are missing and some say nothing."""
    rng = np.random.default_rng(3)
    n = 6_000
    values = {
        "instalments_owed": rng.poisson(0.4, n).astype(np.float32),
        "days_past_due": rng.integers(0, 90, n).astype(np.float32),
        "avg_balance_90d": rng.normal(2_000, 900, n).astype(np.float32),
        "total_credit_limit": np.where(rng.random(n) < 0.2, np.nan, rng.normal(9_000, 3_000, n)).astype(
            np.float32
        ),
        "months_on_book": rng.integers(0, 60, n).astype(np.float32),
    }
    odds = -3 + 0.9 * values["instalments_owed"] + 0.02 * values["days_past_due"]
    odds = odds - 0.0008 * values["avg_balance_90d"] + 0.3 * np.sin(values["months_on_book"])
    label = rng.random(n) < 1 / (1 + np.exp(-odds))
    signs = ",".join(str(catalogue.directions.get(name, 0)) for name in USED)
    params = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.3, "seed": 1, "nthread": 1}
    booster = xgb.train(
        params | {"monotone_constraints": f"({signs})"},
        xgb.DMatrix(pa.table(values), label=label.astype(np.float32)),
        num_boost_round=60,
    )
    return BoostedTrees(booster, USED)


applicants = st.fixed_dictionaries(
    {
        "instalments_owed": st.integers(0, 6),
        "days_past_due": st.integers(0, 120),
        "avg_balance_90d": st.floats(-500, 6_000, width=32),
        "total_credit_limit": st.one_of(st.none(), st.floats(0, 20_000, width=32)),
        "months_on_book": st.integers(0, 80),
    }
)


def row_of(applicant: dict[str, float | None]) -> pa.Table:
    """One applicant as the model reads it."""
    return pa.table({name: pa.array([applicant[name]], pa.float32()) for name in USED})


@given(applicant=applicants, step=st.floats(0.001, 1.0))
@settings(max_examples=150, deadline=None)
def test_the_named_factor_was_used_and_improving_it_raises_the_score(
    trees: BoostedTrees, catalogue: Catalogue, applicant: dict[str, float | None], step: float
) -> None:
    """A letter that names what the model never looked at, or an improvement that costs points."""
    used = set(trees.booster.get_score(importance_type="weight"))
    contributions, margin = trees.contributions(row_of(applicant), 1)
    for reason in reasons(contributions, USED, {}, catalogue)[0]:
        assert reason.feature in used
        assert catalogue.codes[reason.feature] == reason.code
        value = applicant[reason.feature]
        if value is None:
            continue
        better = value - catalogue.directions[reason.feature] * step * max(abs(value), 1.0)
        improved = trees.margins(row_of(applicant | {reason.feature: better}), 1)
        assert SCALE.score(improved)[0] >= SCALE.score(margin)[0]


def test_a_large_improvement_of_the_first_reason_raises_the_score(
    trees: BoostedTrees, catalogue: Catalogue
) -> None:
    """Constraints that hold because the model is flat: nothing an applicant does would change a thing."""
    applicant = dict(
        instalments_owed=4, days_past_due=80, avg_balance_90d=100.0, total_credit_limit=5e3, months_on_book=9
    )
    contributions, margin = trees.contributions(row_of(applicant), 1)
    (first, *_) = reasons(contributions, USED, {}, catalogue)[0]
    assert first.code == "AA01"
    paid = applicant | {"instalments_owed": 0, "days_past_due": 0}
    assert SCALE.score(trees.margins(row_of(paid), 1))[0] > SCALE.score(margin)[0] + SCALE.double_odds


@given(applicant=applicants, a=st.floats(0.2, 3), b=st.floats(-2, 2))
@settings(max_examples=60, deadline=None)
def test_points_of_features_and_base_add_up_to_the_score(
    trees: BoostedTrees, applicant: dict[str, float | None], a: float, b: float
) -> None:
    """A points view that is a picture of the model and not the model."""
    contributions, margins = trees.contributions(row_of(applicant), 1)
    base, points = SCALE.parts(contributions, margins, (a, b))
    assert base + points.sum(axis=1) == pytest.approx(SCALE.score(a * margins + b), abs=1e-3)
    worst = int(np.argmax(contributions[0]))
    assert points[0, worst] == pytest.approx(-a * 20 / np.log(2) * contributions[0, worst], rel=1e-6)


def test_the_scale_says_what_its_numbers_say() -> None:
    """An anchor or a doubling of odds that is off, or points that rise with the risk."""
    assert SCALE.score(np.array([-np.log(50), -np.log(100)])) == pytest.approx([600, 620])
    assert SCALE.score(np.array([1.0]))[0] < SCALE.score(np.array([0.0]))[0]


def test_the_seed_has_the_columns_that_are_read() -> None:
    """A column renamed in the file, which would be read as missing."""
    assert Path(SEED).read_text().splitlines()[0] == ",".join(COLUMNS)
