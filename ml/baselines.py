"""What a model must beat: logistic regressions that anybody can read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.config import UseCase
from ml.datasets import Rows


def predict(use_case: UseCase, training: Rows, test: Rows) -> dict[str, NDArray[np.float64]]:
    """Probability of the event on the test rows, by baseline.

    Each baseline is fitted on the training rows only, medians and scales included. "recency" is a logistic
    regression too: on its one feature that keeps the ranking and gives a probability.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    predictions = {}
    for name, wanted in use_case.baselines.items():
        features = list(training.features) if wanted == "all" else wanted
        pipeline = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
            # Amounts and counts have long tails: on the raw scale a few rows bend the line, and the baseline
            # becomes a straw man that ranks worse than recency alone.
            FunctionTransformer(_signed_log),
            StandardScaler(),
            LogisticRegression(max_iter=2000, random_state=use_case.seed),
        )
        pipeline.fit(_matrix(training, features), training.labels())
        predictions[name] = np.asarray(
            pipeline.predict_proba(_matrix(test, features))[:, 1], dtype=np.float64
        )
    return predictions


def _signed_log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(1 + |x|) with the sign of x."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=np.float64)


def _matrix(rows: Rows, features: list[str]) -> Any:
    return rows.table.select(features).to_pandas().to_numpy(dtype=np.float64)
