"""Gradient-boosted trees: search, fit, margins, contributions.

XGBoost's own interface, with Arrow in. The same rows and numbers give the same bytes, whatever the number of
threads.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb
from numpy.typing import NDArray

from ml import config
from ml.datasets import Rows
from ml.scores.certainty import Ground, covariance
from ml.scores.config import Boosted, Range, UseCase
from ml.scores.matrix import Matrix, matrix_of

Vector = NDArray[np.float64]
MOST_FOLDS = 3
"""Splits of the fitted days that the search averages over."""
LEAST_EVENTS = 10
"""Events on either side of a split that the search looks at."""
_CHANGES = threading.Lock()
"""Held while a booster takes up a parameter."""


@dataclass(frozen=True)
class BoostedTrees:
    """A fitted booster."""

    booster: xgb.Booster
    features: tuple[str, ...]
    _threads: list[int] = field(default_factory=list, init=False, repr=False, compare=False)
    """How many the booster uses; none: nobody has told it yet."""

    def margins(self, rows: pa.Table | Matrix, threads: int) -> Vector:
        """Log-odds of the event for each row, before calibration.

        Args:
            rows: the features as columns in any order, which are taken by name; or rows × features in the
                model's order, missing as nan.
            threads: of XGBoost; does not change the result. Calls beside each other must ask for as many.

        Raises:
            ValueError: a value is infinite.
        """
        # Straight from the matrix: a DMatrix would be a copy that costs as much as the trees.
        matrix = self._finite(rows)
        self._use(threads)
        found = self.booster.inplace_predict(matrix, predict_type="margin") if len(matrix) else []
        return np.asarray(found, dtype=np.float64)

    def contributions(self, rows: pa.Table | Matrix, threads: int) -> tuple[Matrix, Vector]:
        """Exact SHAP values of each feature, rows × features, and the margin of each row.

        In units of the margin: positive pushes towards the event. Their sum with the bias is the margin,
        which is checked.

        Raises:
            ArithmeticError: contributions do not add up to the margin.
            ValueError: a value is infinite.
        """
        matrix = self._finite(rows)
        margins = self.margins(matrix, threads)
        given = xgb.DMatrix(matrix, feature_names=list(self.features), nthread=threads)
        parts = self.booster.predict(given, pred_contribs=True, strict_shape=True)[:, 0, :]
        off = np.abs(parts.sum(axis=1, dtype=np.float64) - margins)
        if not np.all(off <= 1e-4 * (1 + np.abs(margins))):
            raise ArithmeticError(f"contributions miss the margin by up to {np.nanmax(off):g}")
        return parts[:, :-1], margins

    def file(self) -> bytes:
        """As XGBoost's binary JSON."""
        return bytes(self.booster.save_raw("ubj"))

    @classmethod
    def from_file(cls, content: bytes, features: tuple[str, ...]) -> "BoostedTrees":
        """Read what `file` gave."""
        booster = xgb.Booster()
        booster.load_model(bytearray(content))
        return cls(booster, features)

    def _use(self, threads: int) -> None:
        # Predictions may run beside each other, but not beside a change of a parameter, nor beside the first
        # prediction after it, in which XGBoost takes it up.
        with _CHANGES:
            if self._threads != [threads]:
                self.booster.set_param({"nthread": threads})
                self.booster.inplace_predict(np.zeros((1, len(self.features)), np.float32))
                self._threads[:] = [threads]

    def _finite(self, rows: pa.Table | Matrix) -> Matrix:
        # By name and in the model's order: XGBoost would score the wrong columns without a word.
        matrix = rows if isinstance(rows, np.ndarray) else matrix_of(rows, self.features)
        is_infinite = np.isinf(matrix)
        if is_infinite.any():
            names = ", ".join(self.features[at] for at in np.flatnonzero(is_infinite.any(axis=0)))
            raise ValueError(f"infinite values in {names}: no tree was fitted on such")
        return matrix


@dataclass(frozen=True)
class Fitted:
    """What a fit found."""

    trees: BoostedTrees
    calibration: tuple[float, float]
    """(a, b) of probability = 1 / (1 + exp(-(a * margin + b)))."""
    params: dict[str, Any]
    """XGBoost's parameters after the search."""
    trials: tuple[dict[str, Any], ...]
    """Numbers and log-loss of each trial of the search, in order."""
    ground: Ground
    """What tells how sure a score is."""


def fit(use_case: UseCase, fitted: Rows, calibration: Rows, threads: int) -> Fitted:
    """Search, fit and calibrate.

    The search compares by log-loss on the later of the fitted days what was fitted on earlier ones; early
    stopping and calibration use the calibration days, which neither trees nor search ever see.

    Where only a share of the rows without the event is fitted, the prior is put back: with r the share kept,
    the odds are multiplied by r (Elkan 2001, "The foundations of cost-sensitive learning", theorem 2).
    Platt's calibration on rows that were not thinned does the same by itself.
    """
    estimator = use_case.boosted
    params: dict[str, Any] = {**estimator.params, "seed": use_case.seed, "nthread": threads, "verbosity": 0}
    params |= _constraints(estimator, fitted.features)
    thinned = thin(fitted, estimator.keep_others, use_case.seed)
    found, trials = _search(use_case, thinned, fitted, params, threads)
    params |= found
    booster = _train(estimator, params, thinned, calibration, threads)
    trees = BoostedTrees(booster, fitted.features)
    shift = math.log(estimator.keep_others)
    margins = trees.margins(calibration.table, threads)
    scale = (1.0, round(shift, 6))
    if estimator.calibration == "platt":
        scale = platt(margins, calibration.labels())
    ground = Ground.of(
        thinned.matrix(),
        booster.get_score(importance_type="weight"),
        trees.margins(thinned.table, threads),
        covariance(margins, calibration.labels(), scale, calibration.customers()),
    )
    return Fitted(trees, scale, params, tuple(trials), ground)


def thin(rows: Rows, keep_others: float, seed: int) -> Rows:
    """All rows with the event and a share of the others, chosen by a fixed draw over rows in key order."""
    if keep_others == 1:
        return rows
    kept = np.random.default_rng(seed).random(len(rows)) < keep_others
    return rows.where(pa.array(kept | (rows.labels() == 1)))


def platt(margins: Vector, labels: Vector) -> tuple[float, float]:
    """(a, b) of the probability 1 / (1 + exp(-(a * margin + b))) that fits the labels best.

    Newton's method on the log-loss with Platt's smoothed targets (Platt 1999, "Probabilistic outputs for
    support vector machines"). Rounded, so that the last bits of a sum cannot make another version.
    """
    events = labels.sum()
    target = np.where(labels == 1, (events + 1) / (events + 2), 1 / (len(labels) - events + 2))
    a, b = 1.0, 0.0
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(a * margins + b, -30, 30)))
        error, weight = p - target, np.maximum(p * (1 - p), 1e-9)
        gradient = np.array([np.sum(error * margins), np.sum(error)])
        cross = np.sum(weight * margins)
        hessian = np.array([[np.sum(weight * margins**2) + 1e-9, cross], [cross, np.sum(weight) + 1e-9]])
        step = np.linalg.solve(hessian, gradient)
        step *= min(1.0, 2.0 / float(np.abs(step).max() or 1.0))
        a, b = a - float(step[0]), b - float(step[1])
        if np.abs(step).max() < 1e-10:
            break
    return round(a, 6), round(b, 6)


def _constraints(estimator: Boosted, features: tuple[str, ...]) -> dict[str, Any]:
    if unknown := sorted(set(estimator.monotone) - set(features)):
        raise config.ConfigError(
            f"estimator.monotone names {', '.join(unknown)}, which the model does not have"
        )
    if not estimator.monotone:
        return {}
    signs = ",".join(str(estimator.monotone.get(name, 0)) for name in features)
    return {"monotone_constraints": f"({signs})"}


def _train(
    estimator: Boosted, params: Mapping[str, Any], fitted: Rows, held_out: Rows, threads: int
) -> xgb.Booster:
    booster = xgb.train(
        dict(params),
        xgb.DMatrix(fitted.matrix(), label=fitted.labels(), nthread=threads),
        num_boost_round=estimator.rounds,
        evals=[(xgb.DMatrix(held_out.matrix(), label=held_out.labels(), nthread=threads), "held_out")],
        early_stopping_rounds=estimator.early_stopping_rounds,
        verbose_eval=False,
    )
    # The file would keep, and predict would use, the rounds after the best one.
    booster = booster[: booster.best_iteration + 1]
    booster.set_attr(best_iteration=None, best_score=None)
    return booster


def _search(
    use_case: UseCase, thinned: Rows, fitted: Rows, params: Mapping[str, Any], threads: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The best numbers of a bounded search, and every trial; the YAML's own numbers are the first.

    The winner counts only when it beats the YAML's by more than two standard errors of the paired difference
    of the rows' log-loss: of many trials one is always luckiest.
    """
    search = use_case.boosted.search
    folds = _folds(use_case, thinned, fitted)
    if search is None or not folds:
        return {}, []
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials: list[dict[str, Any]] = []
    losses_of: list[Vector] = []

    def objective(trial: Any) -> float:
        numbers = {name: _suggest(trial, name, ends) for name, ends in search.space.items()}
        losses = []
        for early, late in folds:
            booster = _train(use_case.boosted, {**params, **numbers}, early, late, threads)
            margins = BoostedTrees(booster, fitted.features).margins(late.table, threads)
            losses.append(_log_loss(late.labels(), margins + math.log(use_case.boosted.keep_others)))
        losses_of.append(np.concatenate(losses))
        loss = float(losses_of[-1].mean())
        trials.append({**numbers, "log_loss": round(loss, 8)})
        return loss

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=use_case.seed))
    study.enqueue_trial({name: params[name] for name in search.space if name in params})
    study.optimize(objective, n_trials=search.trials)
    gain = losses_of[0] - losses_of[study.best_trial.number]
    is_better = gain.mean() > 2 * gain.std() / math.sqrt(len(gain))
    return (dict(study.best_params) if is_better else {}), trials


def _folds(use_case: UseCase, thinned: Rows, fitted: Rows) -> list[tuple[Rows, Rows]]:
    """Earlier and later fitted days, from the latest split back.

    Between the two lies the horizon: days whose outcomes overlap share their answers, and a model that knows
    its customers by heart would look best.
    """
    days = sorted(set(fitted.table["day"].to_pylist()))
    size = use_case.dates.calibration
    gap = timedelta(days=use_case.label.horizon_days if use_case.label else 0)
    folds = []
    for end in range(len(days), 0, -size):
        late_days = days[max(0, end - size) : end]
        early_days = [day for day in days if day < late_days[0] and day + gap <= late_days[0]]
        early, late = thinned.of(early_days), fitted.of(late_days)
        if min(early.labels().sum(), late.labels().sum()) < LEAST_EVENTS:
            break
        folds.append((early, late))
        if len(folds) == MOST_FOLDS:
            break
    return folds


def _suggest(trial: Any, name: str, ends: Range) -> float | int:
    if ends.whole:
        return int(trial.suggest_int(name, int(ends.low), int(ends.high), log=ends.log))
    return float(trial.suggest_float(name, ends.low, ends.high, log=ends.log))


def _log_loss(labels: Vector, margins: Vector) -> Vector:
    """log(1 + exp(-margin)) of events and log(1 + exp(margin)) of the others, by row."""
    return np.asarray(np.logaddexp(0, np.where(labels == 1, -margins, margins)), dtype=np.float64)
