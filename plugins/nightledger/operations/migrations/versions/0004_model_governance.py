"""Decisions about models say whom they compared, who is champion after them and from when; nobody edits them.

Pins are by role, so that a challenger is scored in the shadow of the champion. Publications can be leased.
"""

import sqlalchemy as sa
from alembic import op

from nightledger.operations.migrations.append_only import refuse_changes

revision = "0004"
down_revision = "0003"

APPEND_ONLY = {
    "model_decisions": "kept.id = new.id"
    " or (kept.run_id = new.run_id and kept.model = new.model and kept.decision = new.decision)",
    "model_pins": "kept.model = new.model and kept.as_of_date = new.as_of_date and kept.role = new.role",
}
"""Which row a new one could take the place of."""


def upgrade() -> None:
    with op.batch_alter_table("model_decisions") as table:
        table.add_column(sa.Column("compared_with", sa.String()))
        table.add_column(sa.Column("champion_after", sa.String()))
        table.add_column(sa.Column("applies_after", sa.Date()))
        table.add_column(sa.Column("evidence", sa.Text()))
        table.drop_constraint("one_decision_a_run", type_="unique")
        table.create_unique_constraint("each_decision_once_a_run", ["run_id", "model", "decision"])
    # Until now a promotion was the only decision that changed anything.
    op.execute("""
        update model_decisions set
            applies_after = trained_on_as_of,
            champion_after = (
                select promoted.version from model_decisions as promoted
                where promoted.model = model_decisions.model and promoted.decision = 'promoted'
                    and promoted.id <= model_decisions.id
                order by promoted.id desc limit 1)
    """)
    with op.batch_alter_table("model_decisions") as table:
        table.alter_column("applies_after", existing_type=sa.Date(), nullable=False)
    op.create_table(
        "model_pins_by_role",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("as_of_date", sa.Date(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("model", "as_of_date", "role"),
    )
    op.execute("""
        insert into model_pins_by_role (model, as_of_date, role, model_version, recorded_at)
        select model, as_of_date, role, model_version, recorded_at from model_pins
    """)
    op.drop_table("model_pins")
    op.rename_table("model_pins_by_role", "model_pins")
    op.create_table(
        "publication_leases",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("publication_id", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    refuse_changes(APPEND_ONLY)


def downgrade() -> None:
    raise NotImplementedError("facts about runs are never dropped")
