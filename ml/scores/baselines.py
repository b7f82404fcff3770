"""What a model must beat: simpler models, a points scorecard, and the best rule with one condition."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.datasets import Rows
from ml.intervals import Vector
from ml.scores import scorecard

Matrix = NDArray[np.floating[Any]]


class Wanted(Protocol):
    """One baseline as the use case's YAML describes it."""

    @property
    def kind(self) -> str: ...  # noqa: D102 - logistic, scorecard, xgboost or rule
    @property
    def features(self) -> Sequence[str]: ...  # noqa: D102 - "all" or names
    @property
    def params(self) -> Mapping[str, Any]: ...  # noqa: D102 - of XGBoost or of `scorecard.fit`
    @property
    def rounds(self) -> int: ...  # noqa: D102
    @property
    def early_stopping_rounds(self) -> int: ...  # noqa: D102


class Wishes(Protocol):
    """What is read of a use case."""

    @property
    def baselines(self) -> Mapping[str, Wanted]: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Predicted:
    """What a baseline says about the test rows.

    Attributes:
        scores: probability of the event; of a rule its feature, turned so that higher = more likely.
        description: what it is, in words.
        details: JSON-able; all of a scorecard or a rule.
        fired: of a rule, the rows that meet its condition; None: it is no rule, its scores are probabilities.
    """

    scores: Vector
    description: str
    details: dict[str, Any]
    fired: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Rule:
    """Fires where one feature lies on one side of a threshold; never where it is missing."""

    feature: str
    at_least: bool
    """True: fires from the threshold up; False: from the threshold down."""
    threshold: float
    words: str
    value: float
    """Average precision of firing on the rows that it was found on."""

    def scores(self, values: Matrix) -> Vector:
        """The feature, turned so that higher = more likely; missing values come last."""
        turned = np.asarray(values if self.at_least else -values, dtype=np.float64)
        return np.where(np.isnan(turned), -np.inf, turned)

    def fires(self, values: Matrix) -> NDArray[np.bool_]:
        """By row."""
        exact = np.asarray(values, dtype=np.float64)
        return exact >= self.threshold if self.at_least else exact <= self.threshold


def predict(
    use_case: Wishes,
    fitted: Rows,
    calibration: Rows,
    test: Rows,
    *,
    threads: int = 1,
    monotone: Mapping[str, int] | None = None,
) -> dict[str, Predicted]:
    """What each baseline says about the test rows, whose labels are not looked at.

    XGBoost is fitted on the fitted rows and stopped on the calibration rows. The others need no rows to stop
    on and learn from both.

    Args:
        use_case: the baselines wanted.
        fitted: rows to learn from.
        calibration: later rows to stop on.
        test: rows to predict.
        threads: of XGBoost; does not change the result.
        monotone: direction of features in scorecards, as in `scorecard.fit`.

    Raises:
        ValueError: a kind is not known; the training rows lack an outcome.
    """
    label = np.concatenate([fitted.labels(), calibration.labels()])

    def columns(rows: Sequence[Rows], features: Sequence[str]) -> dict[str, Matrix]:
        return {name: np.concatenate([_column(part, name) for part in rows]) for name in features}

    predictions = {}
    for name, wanted in use_case.baselines.items():
        features = list(fitted.features) if wanted.features == "all" else list(wanted.features)
        if wanted.kind == "xgboost":
            predictions[name] = _boosted(wanted, features, fitted, calibration, test, use_case.seed, threads)
            continue
        training, later = columns([fitted, calibration], features), columns([test], features)
        on = features[0] if len(features) == 1 else f"{len(features)} features"
        if wanted.kind == "logistic":
            predictions[name] = Predicted(
                _logistic(training, label, later, use_case.seed), f"Logistic regression on {on}.", {}
            )
        elif wanted.kind == "scorecard":
            card = scorecard.fit(training, label, monotone=monotone, **wanted.params)
            used = ", ".join(card.coefficients) or "none"
            predictions[name] = Predicted(
                card.predict(later), f"Points scorecard from {on}; used are: {used}.", card.to_dict()
            )
        elif wanted.kind == "rule":
            rule = best_rule(training, label)
            values = later[rule.feature]
            predictions[name] = Predicted(
                rule.scores(values), f"Best single rule: {rule.words}.", asdict(rule), rule.fires(values)
            )
        else:
            raise ValueError(f"baseline {name}: no kind {wanted.kind!r}")
    return predictions


def best_rule(columns: Mapping[str, Matrix], label: Vector) -> Rule:
    """The rule with the greatest average precision of firing, of all features, thresholds and directions.

    Every threshold that parts two values is tried. The average precision of a yes-or-no score is
    recall × precision + (1 − recall) × base rate. Of equal rules the first in the order of the features wins,
    from the threshold up before from the threshold down, and the one that fires on fewer rows.

    Args:
        columns: values by feature, nan = missing.
        label: 1 = the event.

    Raises:
        ValueError: there is no event or no value.
    """
    events, n = float(label.sum()), len(label)
    if not events:
        raise ValueError("a rule needs rows with the event")
    best: Rule | None = None
    for name, values in columns.items():
        known = ~np.isnan(values)
        order = np.argsort(values[known])
        ascending, hit = values[known][order], label[known][order]
        if not len(ascending):
            continue
        for at_least in (True, False):
            line, hits = (ascending[::-1], hit[::-1]) if at_least else (ascending, hit)
            ends = np.append(np.flatnonzero(line[1:] != line[:-1]), len(line) - 1)
            fired, found = ends + 1.0, np.cumsum(hits)[ends]
            recall = found / events
            value = recall * found / fired + (1 - recall) * events / n
            at = int(np.argmax(value))
            if best is None or value[at] > best.value:
                beyond = float(line[ends[at] + 1]) if at + 1 < len(ends) else None
                threshold, number = _readable(float(line[ends[at]]), beyond, at_least)
                best = Rule(
                    feature=name,
                    at_least=at_least,
                    threshold=threshold,
                    words=f"{name} {'≥' if at_least else '≤'} {number}",
                    value=float(value[at]),
                )
    if best is None:
        raise ValueError("a rule needs a feature with a value")
    return best


def _readable(inside: float, beyond: float | None, at_least: bool) -> tuple[float, str]:
    """The last value inside a rule, in as few digits as still part it from the first value beyond it."""
    for digits in range(18 if math.isfinite(inside) else 0):
        scaled = inside * 10**digits
        whole = math.floor(scaled) if at_least else math.ceil(scaled)
        number = f"{whole / 10**digits:,.{digits}f}"
        threshold = float(number.replace(",", ""))
        keeps = threshold <= inside if at_least else threshold >= inside
        parts = beyond is None or (threshold > beyond if at_least else threshold < beyond)
        if keeps and parts:
            return threshold, number
    return inside, repr(inside)


def _logistic(training: Mapping[str, Matrix], label: Vector, test: Mapping[str, Matrix], seed: int) -> Vector:
    """Fitted on the training rows only, medians and scales included.

    A single feature gets a logistic regression too: that keeps its ranking and gives a probability.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    pipeline = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        # Amounts and counts have long tails: on the raw scale a few rows bend the line, and the baseline
        # becomes a straw man that ranks worse than recency alone.
        FunctionTransformer(_signed_log),
        StandardScaler(),
        LogisticRegression(max_iter=2000, random_state=seed),
    )
    pipeline.fit(_matrix(training), label)
    return np.asarray(pipeline.predict_proba(_matrix(test))[:, 1], dtype=np.float64)


def _signed_log(values: Vector) -> Vector:
    """log(1 + |x|) with the sign of x."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=np.float64)


def _boosted(
    wanted: Wanted,
    features: list[str],
    fitted: Rows,
    calibration: Rows,
    test: Rows,
    seed: int,
    threads: int,
) -> Predicted:
    """A plain booster: no search, no constraints, no calibration."""
    import xgboost as xgb

    held_out = xgb.DMatrix(calibration.table.select(features), label=calibration.labels(), nthread=threads)
    booster = xgb.train(
        {"objective": "binary:logistic", **wanted.params, "seed": seed, "nthread": threads, "verbosity": 0},
        xgb.DMatrix(fitted.table.select(features), label=fitted.labels(), nthread=threads),
        num_boost_round=wanted.rounds,
        evals=[(held_out, "calibration")],
        early_stopping_rounds=wanted.early_stopping_rounds,
        verbose_eval=False,
    )
    rounds = booster.best_iteration + 1
    later = xgb.DMatrix(test.table.select(features), nthread=threads)
    return Predicted(
        np.asarray(booster.predict(later, iteration_range=(0, rounds)), dtype=np.float64),
        f"XGBoost on {len(features)} feature{'s' * (len(features) > 1)}, {rounds} of {wanted.rounds} rounds.",
        {"rounds": rounds, "features": features, "params": dict(wanted.params)},
    )


def _column(rows: Rows, name: str) -> Matrix:
    return np.asarray(rows.table[name].to_pandas().to_numpy(dtype=np.float32))


def _matrix(columns: Mapping[str, Matrix]) -> Vector:
    return np.column_stack([np.asarray(values, dtype=np.float64) for values in columns.values()])
