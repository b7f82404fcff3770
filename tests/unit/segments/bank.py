"""A small bank of four kinds of customers."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ml import config
from ml.families import Job
from ml.features import read_features
from ml.segments.config import Segments
from nightledger import warehouse
from nightledger.settings import Settings

COLUMNS = ("days_since_last_transaction", "transactions_90d", "total_spend_90d")
DAYS = [date(2025, 12, 31), date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)]
PER_KIND = 60
KINDS = {  # days since, transactions, spend
    "busy": (1.0, 80.0, 900.0),
    "rich": (20.0, 20.0, 9000.0),
    "small": (4.0, 40.0, 100.0),
    "gone": (70.0, 3.0, 20.0),
}


def genuine() -> Segments:
    """The model's own YAML, whatever another test file has put in its place."""
    import yaml

    return Segments(name="segments_rfm", **yaml.safe_load((config.MODELS / "segments_rfm.yml").read_text()))


def small(**changes: Any) -> Segments:
    """The same for a small bank; a dict changes single keys of a section."""
    values = genuine().model_dump()
    clusters = {"draws": 6, "draw_starts": 1, "starts": 3, "most": 6, "most_customers": 1000}
    for change in ({"clusters": clusters, "dates": {"training": 3, "test": 1}}, changes):
        for key, value in change.items():
            values[key] = {**values[key], **value} if isinstance(value, dict) else value
    return Segments(**values)


def publish(home: Path, kinds: dict[str, tuple[float, float, float]] = KINDS, seed: int = 3) -> Settings:
    """A publication with features of customers of some kinds, on four month-ends."""
    settings = Settings(home=home, _env_file=None)
    build = settings.builds / "2026-03-31.1"
    build.mkdir(parents=True)
    (settings.builds / "current").symlink_to(build.name)
    rng = np.random.default_rng(seed)
    people = [
        (f"{kind}{number:03d}", *rng.lognormal(np.log(np.array(middle)), 0.25))
        for kind, middle in kinds.items()
        for number in range(PER_KIND)
    ]
    with warehouse.connect(build, read_only=False, settings=settings) as connection:
        connection.execute("""
            create schema features; create schema ops;
            create table ops.horizon (client_id varchar, as_of_date date, cutoff_at timestamp);
            insert into ops.horizon values ('bank', '2026-03-31', '2026-04-01 02:00:00');
            create table features.features_customers (client_id varchar, customer_id varchar, as_of_date date,
                days_since_last_transaction float, transactions_90d float, total_spend_90d float,
                _definition_hash varchar);
        """)
        told = [
            ("bank", name, day, *(value * rng.lognormal(0, 0.05) for value in middle), "d1")
            for day in DAYS
            for name, *middle in people
        ]
        for day in DAYS:
            # Neither a customer who did nothing nor another client's belongs here.
            told += [
                ("bank", "idle", day, 200.0, 0.0, 0.0, "d1"),
                ("other", "busy000", day, 1.0, 80.0, 9.0, "d1"),
            ]
        names = ("client_id", "customer_id", "as_of_date", *COLUMNS, "_definition_hash")
        values = dict(zip(names, map(pa.array, zip(*told, strict=True)), strict=True))
        connection.register("told", pa.table(values))
        connection.execute("insert into features.features_customers by name from told")
    columns = {
        name: {
            "name": name,
            "data_type": "float",
            "config": {"meta": {"allowed_in": ["segments"], "label": name, "unit": "count", "group": "all"}},
        }
        for name in COLUMNS
    }
    node = {"resource_type": "model", "name": "features_customers", "columns": columns}
    (build / "manifest.json").write_text(
        json.dumps({"nodes": {"model.nightledger.features_customers": node}})
    )
    about = {"id": build.name, "content_hash": "c0ffee", "code_revision": "abc123"}
    (build / "publication.json").write_text(json.dumps(about))
    return settings


def job(settings: Settings, described: Segments, as_of: date = DAYS[-1]) -> Job[Segments]:
    """A training of the bank's publication."""
    from ml.datasets import read_publication

    publication = replace(read_publication(settings), as_of_date=as_of)
    return Job(
        settings, "segments_rfm.bank", described, publication, read_features(publication.path, described)
    )
