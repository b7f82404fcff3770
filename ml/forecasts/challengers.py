"""statsforecast's methods on a few customers: what they would gain, were there time to fit them for all."""

from typing import Any

import duckdb
import numpy as np

from ml.forecasts import customer_history, methods
from ml.forecasts.accuracy import row
from ml.forecasts.backtest import Asked
from ml.forecasts.series import Span


def challenge(
    connection: duckdb.DuckDBPyConnection, asked: Asked, span: Span, window: str
) -> list[dict[str, Any]]:
    """WAPE of statsforecast's methods on a few customers at the last origin, beside the chosen ones."""
    rules = asked.described
    customer_history.prepare(connection, span, rules.measure, rules.customers, rules.customers.challenged)
    values = connection.execute("""
        select
            customer_id, max(months_ago) + 1, list(months_ago order by months_ago),
            list(amount::double order by months_ago)
        from _months group by customer_id order by customer_id
    """).fetchall()
    came: dict[str, list[tuple[float, float, float]]] = {}
    for customer, actual, yhat, unscaled in connection.execute(
        "select customer_id, actual::double, yhat::double, unscaled::double from _judged"
        " semi join _months using (customer_id) where origin = ? order by customer_id, step",
        [span.last],
    ).fetchall():
        came.setdefault(customer, []).append((actual, yhat, unscaled))
    errors: dict[str, float] = {}
    size = 0.0
    for customer, months, places, amounts in values:
        if customer not in came:
            continue
        history = np.zeros(months)
        history[months - 1 - np.array(places)] = amounts
        outcome = np.array(came[customer])
        said = methods.monthly(history, rules.horizon_months)
        size += float(np.abs(outcome[:, 0]).sum())
        for name in (methods.FLOOR, methods.THETA, methods.ETS):
            forecast = said.get(name, said[methods.FLOOR])
            errors[name] = errors.get(name, 0.0) + float(np.abs(forecast - outcome[:, 0]).sum())
        for place, name in ((1, ""), (2, "unscaled")):
            errors[name] = errors.get(name, 0.0) + float(np.abs(outcome[:, place] - outcome[:, 0]).sum())
    dataset = "customer sample"
    return [
        row(asked.client, dataset, window, "wape", error / size, len(came) * rules.horizon_months, name)
        for name, error in errors.items()
        if size
    ]
