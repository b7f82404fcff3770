"""What the anomaly models point out on Birmingham's purchase cards, and on the simulated bank.

`make demo DATA=…/birmingham` loads the cards and trains; `NIGHTLEDGER_HOME=… python -m benchmarks.anomalies
--write docs/reference/anomalies-birmingham.md` then scores everything that one as-of date describes by the
night's own code, and puts what a person said of the first twenty (`anomalies_judged.yml`) beside them.
`--thefts TRUTH` counts, in the home of a simulated bank, how many stolen payments the quota holds.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import yaml

from ml import config
from ml.datasets import Publication, read_publication
from ml.dates import register_dates
from ml.features import read_features
from ml.registry import Registry
from ml.scores import explanation
from ml.scores.explanation import Told
from ml.scores.matrix import matrix_of
from ml.statements import module_sql, rows_sql
from nightledger import warehouse
from nightledger.settings import PROJECT, Settings

JUDGED = PROJECT / "benchmarks" / "anomalies_judged.yml"
HEAD = PROJECT / "benchmarks" / "anomalies_head.md"
CLIENT = "birmingham"
AS_OF = date(2015, 3, 30)
SHOWN = 20


class NotJudged(RuntimeError):
    """The list holds something that nobody has looked at; the message says what."""


@dataclass(frozen=True)
class Night:
    """What one as-of date describes, scored by a client's champion."""

    table: pa.Table
    told: Told
    version: str

    def ranked(self) -> list[int]:
        """Places of the rows, as `mart_anomalies` ranks them: everybody's first, then everybody's second."""
        entities, owners = self.table["entity_id"].to_pylist(), self.table["customer_id"].to_pylist()
        by_margin = sorted(range(len(entities)), key=lambda at: (-self.told.margins[at], entities[at]))
        seen: dict[str, int] = {}
        places = {}
        for at in by_margin:
            places[at] = seen[owners[at]] = seen.get(owners[at], 0) + 1
        return sorted(by_margin, key=lambda at: places[at])

    def reasons(self, at: int) -> list[str]:
        """Of a row, the strongest first."""
        return [self.told.text[reason] for reason in np.flatnonzero(self.told.row == at)]


def score(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    publication: Publication,
    model: str,
    client: str,
    dates: Sequence[date],
) -> Night:
    """Score what these as-of dates describe of a client, as a night would."""
    use_case, registry = config.load(model), Registry(settings)
    champion = registry.champion(f"{model}.{client}")
    if champion is None:
        raise NotJudged(f"{model}.{client} has no champion in {settings.home}: train it first")
    version = champion.version
    fitted = registry.load(f"{model}.{client}", version)
    features = read_features(publication.path, use_case)
    register_dates(connection, settings, use_case, [(client, day) for day in dates])
    statement, values = rows_sql(connection, use_case, features, module_sql(use_case, "POPULATION"))
    connection.execute(f"create or replace temp table _rows as {statement}", values)
    explain = explanation.of(connection, use_case, features, fitted)
    table = connection.execute("from _rows order by client_id, entity_id, as_of_date").to_arrow_table()
    return Night(table, explain(table, matrix_of(table, fitted.features), settings.threads), version)


def transactions(connection: duckdb.DuckDBPyConnection, night: Night) -> Iterator[tuple[str, str, list[str]]]:
    """Key of the judgement, what is known of the payment, and the reasons; of the first twenty."""
    for at in night.ranked()[:SHOWN]:
        key, owner = (night.table[name][at].as_py() for name in ("entity_id", "customer_id"))
        day, description, amount, remarks, account = connection.execute(
            """
            select business_date, description, -base_amount, remarks, source_category
            from intermediate.int_transactions
            where transaction_key = ? and superseded_at is null
            """,
            [key],
        ).fetchone() or ("", "", 0, "", "")
        earlier, usual, most = connection.execute(
            """
            select count(*), median(abs(base_amount)), max(abs(base_amount))
            from intermediate.int_transactions
            where customer_id = ? and business_date < ? and is_customer_initiated and superseded_at is null
            """,
            [owner, day],
        ).fetchone() or (0, 0, 0)
        yield (
            f"{day} {description} {amount:.2f}",
            f"{day}, {_money(amount)} to {description.strip()}, booked as {account} ({remarks}). "
            f"The card before: {earlier} payments, usually {_money(usual)}, at most {_money(most)}",
            night.reasons(at),
        )


def cards(connection: duckdb.DuckDBPyConnection, night: Night) -> Iterator[tuple[str, str, list[str]]]:
    """The same of cards. Their numbers are tokens of the home, so a card is called by its year."""
    for at in night.ranked()[:SHOWN]:
        owner = night.table["entity_id"][at].as_py()
        payments, spent, most, merchant, unit = connection.execute(
            """
            select count(*), sum(-base_amount), max(-base_amount), mode(description order by description),
                mode(remarks order by remarks)
            from intermediate.int_transactions
            where customer_id = ? and business_date <= ? and superseded_at is null
            """,
            [owner, AS_OF],
        ).fetchone() or (0, 0, 0, "", "")
        months = connection.execute(
            """
            select sum(-base_amount) from intermediate.int_transactions
            where customer_id = ? and business_date <= ? and superseded_at is null
            group by date_trunc('month', business_date) order by date_trunc('month', business_date)
            """,
            [owner, AS_OF],
        ).fetchall()
        *before, last = [float(total) for (total,) in months]
        yield (
            f"{payments} {spent:.2f}",
            f"{unit}: {payments} payments of {_money(spent)} in the year, most often to {merchant.strip()}, "
            f"the largest {_money(most)}. Usually {_money(float(np.median(before or [0])))} a month, in the "
            f"last {_money(last)}",
            night.reasons(at),
        )


def page(settings: Settings) -> str:
    """The lists with what a person said of them, as Markdown.

    Raises:
        NotJudged: something in the lists was not looked at.
    """
    judged = yaml.safe_load(JUDGED.read_text())
    publication = read_publication(settings)
    parts = [HEAD.read_text().rstrip()]
    with warehouse.connect(publication.path, settings=settings) as connection:
        for title, model, listed in (
            ("transactions", "anomaly_transactions", transactions),
            ("cards", "anomaly", cards),
        ):
            night = score(connection, settings, publication, model, CLIENT, [AS_OF])
            bands, owners = night.told.bands, night.table["customer_id"].to_pylist()
            several = {owner for owner, band in zip(owners, bands, strict=True) if band == "unusual"}
            lines, plausible = [], 0
            for number, (key, known, reasons) in enumerate(listed(connection, night), start=1):
                if key not in judged[title]:
                    raise NotJudged(f"{title}: nobody has judged {key!r}")
                said = judged[title][key]
                plausible += said["plausible"]
                told = "<br>".join(reasons)
                answer = "**yes**" if said["plausible"] else "no"
                lines.append(f"| {number} | {known} | {told} | {answer}: {said['why']} |")
            low, high = wilson(plausible, SHOWN)
            parts.append(
                f"## The twenty most unusual {title}\n\n"
                f"Model `{model}.{CLIENT}` {night.version}: {bands.count('unusual'):,} of {len(owners):,} "
                f"are unusual, of {len(several):,} cards. **{plausible} of {SHOWN} are worth a controller's "
                f"look** ({plausible / SHOWN:.0%}; 95 % interval {low:.0%} to {high:.0%}).\n\n"
                "| | what it is | why it was listed | worth a look? |\n|---|---|---|---|\n" + "\n".join(lines)
            )
    return "\n\n".join(parts) + "\n\n" + (PROJECT / "benchmarks" / "anomalies_tail.md").read_text()


def thefts(settings: Settings, truth: Path, client: str, days: int) -> str:
    """How many stolen payments the quota of a day would have held, as a Markdown table.

    Args:
        settings: home of the simulated bank, with a champion.
        truth: the bank's truth folder.
        client: whose payments carry the truth's numbers.
        days: the latest, which the champion was not fitted on.
    """
    publication = read_publication(settings)
    with warehouse.connect(publication.path, settings=settings) as connection:
        dates = [
            day
            for (day,) in connection.execute(
                "select distinct as_of_date from features.features_transactions where client_id = ?"
                " and as_of_date > ? - ?::integer order by 1",
                [client, publication.as_of_date, days],
            ).fetchall()
        ]
        night = score(connection, settings, publication, "anomaly_transactions", client, dates)
        connection.register(
            "scored",
            night.table.select(["entity_id", "customer_id", "day"])
            .append_column("margin", pa.array(night.told.margins))
            .append_column("band", pa.array(night.told.bands)),
        )
        with _truth(connection, truth):
            rows = connection.execute(
                """
                with payments as (
                    select scored.*, coalesce(stolen.fraud > 0, false) as is_theft,
                        exists (
                            select 1 from intermediate.int_fraud_reports as reports
                            where reports.transaction_key = scored.entity_id and reports.is_fraud
                        ) as is_reported
                    from scored
                    inner join intermediate.int_transactions as transactions
                        on transactions.transaction_key = scored.entity_id
                        and transactions.superseded_at is null
                    left join stolen on 'TX' || stolen.number = transactions.transaction_id
                    where scored.day > ? - ?::integer
                ),
                within_customers as (
                    select *, row_number() over (
                        partition by day, customer_id order by margin desc, entity_id
                    ) as place
                    from payments
                ),
                ranked as (
                    select *, row_number() over (
                        partition by day order by place, margin desc, entity_id
                    ) as rank
                    from within_customers
                )
                select count(distinct day), count(*), count(*) filter (is_theft),
                    count(*) filter (is_theft and is_reported),
                    count(*) filter (band = 'unusual'), count(*) filter (band = 'unusual' and is_theft),
                    count(*) filter (rank <= 20), count(*) filter (rank <= 20 and is_theft),
                    count(*) filter (rank <= 20 and is_theft and is_reported)
                from ranked
                """,
                [publication.as_of_date, days],
            ).fetchone()
    names = (
        *("days", "payments", "stolen", "stolen and reported", "unusual", "of these stolen"),
        *("twenty a day", "of these stolen", "of these stolen and reported"),
    )
    lines = [f"| {name} | {value:,} |" for name, value in zip(names, rows or (), strict=True)]
    return "\n".join(["| | |", "|---|---|", *lines])


@contextmanager
def _truth(connection: duckdb.DuckDBPyConnection, truth: Path) -> Iterator[None]:
    """The relation `stolen` of a truth folder."""
    payments = connection.read_parquet(str(truth / "payments" / "*.parquet"))
    connection.register("stolen", payments.to_arrow_table())
    yield
    connection.unregister("stolen")


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share."""
    centre = (hits + z * z / 2) / (n + z * z)
    half = z * math.sqrt(hits * (n - hits) / n + z * z / 4) / (n + z * z)
    return centre - half, centre + half


def _money(amount: Any) -> str:
    return f"£{float(amount):,.2f}".removesuffix(".00")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.anomalies", description=__doc__)
    parser.add_argument("--write", type=Path, help="the page; default: print it")
    parser.add_argument("--thefts", type=Path, metavar="TRUTH", help="count stolen payments instead")
    parser.add_argument("--client", default="demo_bank", help="with --thefts")
    parser.add_argument("--days", type=int, default=28, help="with --thefts: the latest days")
    given = parser.parse_args(arguments)
    settings = Settings()
    try:
        text = thefts(settings, given.thefts, given.client, given.days) if given.thefts else page(settings)
    except NotJudged as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if given.write:
        given.write.write_text(text)
    else:
        sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
