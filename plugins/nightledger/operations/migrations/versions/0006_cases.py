"""What people do about fraud alerts, and the labels that nights make of what they find; neither is edited."""

import sqlalchemy as sa
from alembic import op

from nightledger.operations.migrations.append_only import refuse_changes

revision = "0006"
down_revision = "0005"

APPEND_ONLY = {
    "case_events": "kept.id = new.id or (kept.client_id = new.client_id"
    " and kept.transaction_key = new.transaction_key and kept.version = new.version)",
    "case_labels": "kept.event_id = new.event_id",
}
"""Which row a new one could take the place of."""


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
    refuse_changes(APPEND_ONLY)


def downgrade() -> None:
    raise NotImplementedError("facts about runs are never dropped")
