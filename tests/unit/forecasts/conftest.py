"""The made-up client, the project's own numbers, and a version learnt from it."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from ml import config
from ml.forecasts import fitted
from ml.forecasts.config import Forecast
from nightledger.settings import Settings
from tests.unit.forecasts.client import CLIENT, Learnt, movements, warehouse_of, whole


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """The small client."""
    with warehouse_of(movements()) as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An installation with this client."""
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / f"{CLIENT}.yml").write_text(
        "name: Shop\nbase_currency: EUR\ntimezone: UTC\ncountry: DE\n"
    )
    return Settings(home=tmp_path / "home", clients=tmp_path / "clients", _env_file=None)


@pytest.fixture(scope="session")
def rules() -> Forecast:
    """The project's own numbers, but Prophet for one series only, which costs less."""
    found = config.read("forecast_spend")
    assert isinstance(found, Forecast)
    return found.model_copy(
        update={
            "prophet": found.prophet.model_copy(update={"most_series": 1}),
            "customers": found.customers.model_copy(update={"challenged": 3}),
        }
    )


@pytest.fixture(scope="session")
def learnt(rules: Forecast, tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """A version, what was measured of it, and its files."""
    folder = tmp_path_factory.mktemp("learnt")
    (folder / f"{CLIENT}.yml").write_text("name: Shop\nbase_currency: EUR\ncountry: DE\n")
    with warehouse_of(movements()) as connection:
        found, judged = fitted.learn(connection, Settings(clients=folder, _env_file=None), *whole(rules))
    return found, judged, found.files()
