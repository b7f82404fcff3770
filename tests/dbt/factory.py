"""A temporary warehouse with seeded raw data, and real dbt on it."""

import json
import shutil
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nightledger import actions, warehouse
from nightledger.dbt import scope
from nightledger.dbt.project import DbtProject
from nightledger.ingestion import coverage
from nightledger.ingestion.feeds import create_tables
from nightledger.merchants import nearest
from nightledger.night import audit
from nightledger.settings import PROJECT, Settings

DBT_PROJECT = PROJECT / "dbt_project"
RUN = "a run"
"""The one that the audit's checks are asked about."""
_TABLES = {
    "ops.as_of_dates": "client_id varchar, as_of_date date, cutoff_at timestamp, is_tonight boolean",
    "ops.horizon": "client_id varchar, as_of_date date, cutoff_at timestamp",
    "ops.base_horizon": "client_id varchar, as_of_date date, cutoff_at timestamp",
    "ops.clients": "client_id varchar, base_currency varchar, timezone varchar, country varchar,"
    " interchange_rate decimal(9, 6), alert_cost decimal(18, 4), alerts_per_day integer,"
    " alerts_without_reports boolean, anomalies_per_day integer,"
    " risk_weight_credit decimal(6, 4) default 0.4, risk_weight_fraud decimal(6, 4) default 0.3,"
    " risk_weight_anomaly decimal(6, 4) default 0.1, risk_weight_churn decimal(6, 4) default 0.2",
    "operations.merchant_corrections": "id bigint, action varchar, withdrawn_id bigint, descriptor varchar,"
    " pattern varchar, merchant varchar, subcategory varchar, reason varchar, ordered_by varchar,"
    " publication_id varchar, known_at timestamp, recorded_at timestamp",
    "operations.merchant_versions": "descriptor varchar, known_at timestamp, superseded_at timestamp,"
    " merchant varchar, intermediary varchar, location varchar, subcategory varchar, tier varchar,"
    " confidence double, rules_version varchar, run_id varchar, recorded_at timestamp",
    "operations.case_events": "id bigint, client_id varchar, transaction_key varchar, version bigint,"
    " action varchar, verdict varchar, assignee varchar, who varchar, recorded_at timestamp",
    "operations.case_labels": "event_id bigint, client_id varchar, transaction_key varchar, verdict varchar,"
    " known_at timestamp, recorded_at timestamp",
    "operations.incidents": "id varchar, kind varchar, client_id varchar, about varchar, title varchar,"
    " severity varchar, cause_kind varchar, cause varchar, weighted_drift double, state varchar,"
    " first_date date, last_date date, opened_at timestamp",
    "operations.night_deadlines": "as_of_date date, publish_by timestamp, is_judged boolean,"
    " recorded_at timestamp",
    "operations.publications": "action varchar, publication_id varchar, run_id varchar, as_of_date date,"
    " recorded_at timestamp",
    "operations.stages": "run_id varchar, detail varchar",
    "operations.runs": "run_id varchar, kind varchar, as_of_date date, opened_at timestamp",
    "operations.model_metrics": "model varchar, version varchar, client_id varchar, dataset varchar,"
    " window_label varchar, metric varchar, baseline varchar, value double, lo double, hi double, n bigint,"
    " base_rate double, known_at timestamp, recorded_at timestamp",
    "operations.model_importances": "model varchar, version varchar, feature varchar, feature_group varchar,"
    " importance double, known_at timestamp, recorded_at timestamp",
}


def cutoff(day: date) -> datetime:
    """First moment that is too late for an as-of date; the same for every client of the tests."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(hours=2)


class Warehouse:
    """The open build of a night.

    Args:
        home: of the warehouses and of what dbt keeps between its runs.
        name: directory of this warehouse under `home`.
        base: the warehouse to begin from, as a night begins from a publication; none: empty tables.
    """

    def __init__(self, home: Path, name: str, base: "Warehouse | None" = None) -> None:
        self.home, self.path = home, home / name
        if base:
            shutil.copytree(base.path, self.path)
            return
        self.path.mkdir(parents=True)
        with self.connect() as connection:
            create_tables(connection)
            connection.execute("create schema operations")
            for table, columns in _TABLES.items():
                connection.execute(f"create table {table} ({columns})")
            actions.create_tables(connection)
            nearest.create_table(connection)
        self.empty_lake()

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A writable connection; close it before dbt runs."""
        return warehouse.connect(self.path, read_only=False)

    def execute(self, sql: str) -> None:
        """Run one statement and close the file again."""
        with self.connect() as connection:
            connection.execute(sql)

    def frame(self, sql: str) -> pd.DataFrame:
        """Rows of a query."""
        with self.connect() as connection:
            return connection.execute(sql).df()

    def violations(self, name: str) -> list[Any]:
        """What a check of the audit finds."""
        (check,) = (check for check in audit.load_checks() if check.name == name)
        with self.connect() as connection:
            audit.prepare(connection, RUN)
            return connection.execute(check.sql).df().values.tolist()

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows by name; what a row does not mention is null."""
        rows = list(rows)
        names = dict.fromkeys(name for row in rows for name in row)  # pyarrow looks at the first row only
        records = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
        with self.connect() as connection:
            connection.register("records", records)
            connection.execute(f"insert into {table} by name select * from records")

    def set_dates(self, built: Iterable[date], tonight: Iterable[date]) -> None:
        """As-of dates of every client; the last of them is the horizon."""
        days = sorted({*built, *tonight})
        self.execute("delete from ops.as_of_dates; delete from ops.horizon")
        clients = self.frame("select client_id from ops.clients").client_id
        tonight = set(tonight)
        rows = [
            {"client_id": client, "as_of_date": day, "cutoff_at": cutoff(day)}
            for client in clients
            for day in days
        ]
        self.insert("ops.as_of_dates", [row | {"is_tonight": row["as_of_date"] in tonight} for row in rows])
        self.insert("ops.horizon", [row for row in rows if row["as_of_date"] == days[-1]])
        self.execute("delete from ops.touched_days")
        with self.connect() as connection:
            coverage.update(connection, [])

    def empty_lake(self) -> None:
        """What opening a night leaves in the lake."""
        shutil.rmtree(self.path / "lake", ignore_errors=True)
        for kind, schema in warehouse.LAKE_SCHEMAS.items():
            self._write_lake(kind, "_empty", "_empty", date(1970, 1, 1), schema.empty_table())

    def write_scores(
        self,
        version: str,
        day: date,
        scores: Mapping[tuple[str, str], float],
        *,
        model: str = "churn",
        entity: str = "customer",
        values: Mapping[tuple[str, str], Decimal] | None = None,
    ) -> None:
        """What scoring leaves in the lake for one model version and date, with one reason each.

        Args:
            version: of the model.
            day: as-of date.
            scores: by client and entity.
            model: name of the use case.
            entity: what is scored.
            values: expected value of each score; none is written where it has none.
        """
        common = {"model": model, "model_version": version, "entity": entity, "as_of_date": day}
        common |= {"role": "champion", "rank": 1, "text": f"because of {version}"}
        scored = [
            {
                "client_id": key[0],
                "entity_id": key[1],
                "score": score,
                "expected_value": (values or {}).get(key),
            }
            | common
            for key, score in scores.items()
        ]
        for kind in warehouse.SCORE_KINDS:
            table = pa.Table.from_pylist(scored, warehouse.LAKE_SCHEMAS[kind])
            self._write_lake(kind, model, version, day, table)

    def _write_lake(self, kind: str, model: str, version: str, day: date, table: pa.Table) -> None:
        folder = self.path / "lake" / kind / f"model={model}" / f"version={version}" / f"as_of={day}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "part.parquet")

    def dbt(self, *arguments: str) -> dict[str, str]:
        """Run dbt on this warehouse; a warning is an error.

        Returns:
            Status of each node by name: success, pass, fail or skipped.

        Raises:
            RuntimeError: a node broke; says which and why.
        """
        self._invoke(*arguments)
        run = json.loads((self.path / "target" / "run_results.json").read_text())
        nodes = run["results"]
        broken = [f"{node['unique_id']}: {node['message']}" for node in nodes if node["status"] == "error"]
        if broken:
            raise RuntimeError("\n".join(broken))
        return {node["unique_id"].split(".", 2)[2]: node["status"] for node in nodes}

    def dbt_again(self, *arguments: str) -> dict[str, str]:
        """Run dbt as a later night does: on a warehouse that it has built, whose views and seeds stand."""
        nodes = self.manifest["nodes"]
        with self.connect() as connection:
            present = {(schema, name) for schema, name, _ in warehouse.relations(connection)}
        standing = scope.standing(self.manifest, lambda _: "", dict.fromkeys(nodes, ""), present)
        names = sorted(nodes[name]["name"] for name in standing if nodes[name]["resource_type"] != "test")
        return self.dbt(*arguments, "--exclude", *names)

    def build_features(self, *arguments: str, again: bool = False) -> None:
        """Everything up to the features, without tests; `again`: see `dbt_again`."""
        kinds = ("--resource-type", "model", "--resource-type", "seed")
        run = self.dbt_again if again else self.dbt
        run("build", "--select", "+features_customers", *kinds, *arguments)

    def list_nodes(self, *arguments: str) -> list[str]:
        """Names of the models, seeds and tests that dbt would run."""
        others = ("--exclude-resource-type", "source", "--exclude-resource-type", "exposure")
        listed = self._invoke("ls", *arguments, *others, "--output", "json", "--output-keys", "unique_id")
        return [json.loads(line)["unique_id"].split(".", 2)[2] for line in listed]

    def _invoke(self, *arguments: str) -> Any:
        project = DbtProject(Settings(home=self.home, _env_file=None), self.path, ("--quiet", "--warn-error"))
        result = project.run(*arguments)
        if result.exception:
            raise result.exception
        return result.result

    def content_hash(self) -> dict[str, Any]:
        """See `nightledger.warehouse.content_hash`."""
        with self.connect() as connection:
            return warehouse.content_hash(connection)

    @property
    def manifest(self) -> dict[str, Any]:
        """dbt's manifest of the project."""
        content: dict[str, Any] = json.loads((self.path / "target" / "manifest.json").read_text())
        return content

    def compiled_hash(self, project: Path) -> str:
        """`_definition_hash` as a copy of the project compiles it."""
        with mock.patch.object(Settings, "dbt_project", project):
            result = self._invoke("compile", "--select", "features_customers")
        code = str(result.results[0].node.compiled_code)
        return code.rsplit("' as _definition_hash", 1)[0].rsplit("'", 1)[1]
