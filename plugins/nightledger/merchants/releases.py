"""What a release of merchant rules leaves behind: the answers that it has closed.

Whoever makes the warehouse anew from its files has the newest rules only. With what was closed, each date is
built from what was known then all the same.
"""

from pathlib import Path

from nightledger import operations, warehouse
from nightledger.settings import Settings


def keep_closed(settings: Settings, run_id: str, build: Path) -> int:
    """Write the versions that this night has closed to operations.db; a second call changes nothing.

    Returns:
        Number of versions.
    """
    with warehouse.connect(build, settings=settings) as connection:
        answer = connection.execute("""
            select descriptor, known_at, superseded_at, merchant, intermediary, location, subcategory, tier,
                   confidence::double as confidence, rules_version
            from intermediate.int_merchant_resolutions
            where superseded_at >= (select max(cutoff_at) from ops.base_horizon)
            order by descriptor, known_at
        """)
        names = [column[0] for column in answer.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    operations.keep_merchant_versions(settings, run_id, rows)
    return len(rows)
