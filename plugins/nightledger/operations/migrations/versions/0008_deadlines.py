"""By when each night had to be published, as the setting was then; and what a night waits for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "night_deadlines",
        sa.Column("as_of_date", sa.Date(), nullable=False),
        sa.Column("publish_by", sa.DateTime(), nullable=False),
        sa.Column("is_judged", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("as_of_date"),
    )
    op.create_table(
        "night_waits",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("as_of_date", sa.Date(), nullable=False),
        sa.Column("waits_for", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )


def downgrade() -> None:
    raise NotImplementedError("facts about runs are never dropped")
