"""What people do about fraud alerts, and the labels that nights make of what they find; neither is edited."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

APPEND_ONLY = {
    "case_events": "kept.id = new.id or (kept.client_id = new.client_id"
    " and kept.transaction_key = new.transaction_key and kept.version = new.version)",
    "case_labels": "kept.event_id = new.event_id",
}
"""Which row a new one could take the place of. A later migration that makes one of these tables anew must put
its triggers back."""


def upgrade() -> None:
    op.create_table(
        "case_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("transaction_key", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("verdict", sa.String()),
        sa.Column("assignee", sa.String()),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("client_id", "transaction_key", "version", name="one_event_a_version"),
    )
    op.create_table(
        "case_labels",
        sa.Column("event_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("transaction_key", sa.String(), nullable=False),
        sa.Column("verdict", sa.String()),
        sa.Column("known_at", sa.DateTime(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    for name, same_row in APPEND_ONLY.items():
        _refuse_changes(name, same_row)


def _refuse_changes(table: str, same_row: str) -> None:
    """Let the database itself refuse whatever is not an insert of a new row."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"""
            create function {table}_refuse() returns trigger language plpgsql as
            $$ begin raise exception '{table} is append-only'; end $$
        """)
        op.execute(
            f"create trigger {table}_append_only before update or delete or truncate on {table}"
            f" for each statement execute function {table}_refuse()"
        )
        return
    refuse = f"begin select raise(abort, '{table} is append-only'); end"
    for event in ("update", "delete"):
        op.execute(f"create trigger {table}_no_{event} before {event} on {table} {refuse}")
    # SQLite's `insert or replace` deletes without firing triggers of deletion.
    is_there = f"exists (select 1 from {table} as kept where {same_row})"  # noqa: S608 - from above
    op.execute(f"create trigger {table}_no_replace before insert on {table} when {is_there} {refuse}")


def downgrade() -> None:
    raise NotImplementedError("facts about runs are never dropped")
