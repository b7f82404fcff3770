"""Tables whose rows the database itself keeps from being changed."""

from collections.abc import Mapping

from alembic import op


def refuse_changes(tables: Mapping[str, str]) -> None:
    """Let the database refuse whatever is not an insert of a new row.

    A later migration that makes one of these tables anew must call it again.

    Args:
        tables: names, each with a condition on `kept` and `new`: which row a new one could take the place of.
    """
    for table, same_row in tables.items():
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"""
                create function {table}_refuse() returns trigger language plpgsql as
                $$ begin raise exception '{table} is append-only'; end $$
            """)
            op.execute(
                f"create trigger {table}_append_only before update or delete or truncate on {table}"
                f" for each statement execute function {table}_refuse()"
            )
            continue
        refuse = f"begin select raise(abort, '{table} is append-only'); end"
        for event in ("update", "delete"):
            op.execute(f"create trigger {table}_no_{event} before {event} on {table} {refuse}")
        # SQLite's `insert or replace` deletes without firing triggers of deletion.
        is_there = f"exists (select 1 from {table} as kept where {same_row})"  # noqa: S608 - of a migration
        op.execute(f"create trigger {table}_no_replace before insert on {table} when {is_there} {refuse}")
