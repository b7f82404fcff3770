"""The tables of the operational database; `migrations/` makes them.

Times ending in `_at` are UTC without a zone, as in the warehouse.
"""

import sqlalchemy as sa

metadata = sa.MetaData()

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("as_of_date", sa.Date, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("base", sa.String),
    sa.Column("publication_id", sa.String),
    sa.Column("code_revision", sa.String),
    sa.Column("opened_at", sa.DateTime, nullable=False),
    sa.Column("ended_at", sa.DateTime),
)
stages = sa.Table(
    "stages",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False, index=True),
    sa.Column("stage", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)
node_results_table = sa.Table(
    "node_results",
    metadata,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("unique_id", sa.String, primary_key=True),
    sa.Column("selector", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Column("rows", sa.BigInteger),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)
file_verdicts_table = sa.Table(
    "file_verdicts",
    metadata,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("load_id", sa.String, primary_key=True),
    sa.Column("client_id", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("file", sa.String, nullable=False),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("records", sa.BigInteger, nullable=False),
    sa.Column("quarantined", sa.BigInteger, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)
audits = sa.Table(
    "audits",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False, index=True),
    sa.Column("check", sa.String, nullable=False),
    sa.Column("severity", sa.String, nullable=False),
    sa.Column("status", sa.String, nullable=False),
    sa.Column("violations", sa.BigInteger, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)
publications = sa.Table(
    "publications",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("publication_id", sa.String, nullable=False),
    sa.Column("base", sa.String),
    sa.Column("run_id", sa.String),
    sa.Column("as_of_date", sa.Date),
    sa.Column("content_hash", sa.String),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)
cutoffs = sa.Table(
    "cutoffs",
    metadata,
    sa.Column("client_id", sa.String, primary_key=True),
    sa.Column("as_of_date", sa.Date, primary_key=True),
    sa.Column("cutoff_at", sa.DateTime, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)
model_pins = sa.Table(
    "model_pins",
    metadata,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("as_of_date", sa.Date, primary_key=True),
    sa.Column("model_version", sa.String, nullable=False),
    sa.Column("role", sa.String, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)
file_orders = sa.Table(
    "file_orders",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("client_id", sa.String, nullable=False),
    sa.Column("contract", sa.String, nullable=False),
    sa.Column("file", sa.String, nullable=False),
    sa.Column("sha256", sa.String, nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("ordered_by", sa.String, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)
model_decisions = sa.Table(
    "model_decisions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("version", sa.String),
    sa.Column("decision", sa.String, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("decided_by", sa.String, nullable=False),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("publication_id", sa.String),
    sa.Column("trained_on_as_of", sa.Date, nullable=False),
    sa.Column("artefact_sha256", sa.String),
    sa.Column("known_at", sa.DateTime, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("run_id", "model", name="one_decision_a_run"),
)
model_metrics = sa.Table(
    "model_metrics",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.String, nullable=False, index=True),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("version", sa.String, nullable=False),
    sa.Column("client_id", sa.String, nullable=False),
    sa.Column("dataset", sa.String, nullable=False),
    sa.Column("window_label", sa.String, nullable=False),
    sa.Column("metric", sa.String, nullable=False),
    sa.Column("baseline", sa.String, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("lo", sa.Float),
    sa.Column("hi", sa.Float),
    sa.Column("n", sa.BigInteger),
    sa.Column("base_rate", sa.Float),
    sa.Column("known_at", sa.DateTime, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)
