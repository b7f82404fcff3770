"""A run that reads a publication for hours leases it, so that pruning leaves it alone.

A lease ends with its run, or by itself: a run that was killed keeps nothing for ever.
"""

from datetime import timedelta

import sqlalchemy as sa

from nightledger import operations
from nightledger.operations.schema import publication_leases
from nightledger.settings import Settings

LONGEST = timedelta(hours=24)


def lease(settings: Settings, run_id: str, publication_id: str) -> str:
    """Lease a publication to a run for `LONGEST`.

    Returns:
        The id of what the run has leased: on a retry that of its first try, whatever is current now.
    """
    table, now = publication_leases, operations.clock()
    with operations.engine(settings).begin() as connection:
        known = connection.scalar(sa.select(table.c.publication_id).where(table.c.run_id == run_id))
        if known is not None:
            return str(known)
        connection.execute(
            table.insert(),
            {
                "run_id": run_id,
                "publication_id": publication_id,
                "expires_at": now + LONGEST,
                "recorded_at": now,
            },
        )
    return publication_id


def release(settings: Settings, run_id: str) -> None:
    """End the lease of a run, if it has one."""
    table = publication_leases
    with operations.engine(settings).begin() as connection:
        connection.execute(table.delete().where(table.c.run_id == run_id))


def leased(settings: Settings) -> set[str]:
    """Publications that somebody has leased and that must stay."""
    table = publication_leases
    rows = operations.read(
        settings, sa.select(table.c.publication_id).where(table.c.expires_at > operations.clock())
    )
    return {row["publication_id"] for row in rows}
