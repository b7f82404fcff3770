"""What the worker does besides Superset's own: it warms the cache when a publication is new."""

from superset.extensions import celery_app

from nightledger_superset import refreshing
from nightledger_superset.settings import Settings


@celery_app.task(name="nightledger.refresh")  # type: ignore[untyped-decorator]
def refresh() -> str:
    """Compute the answers of the newest publication, once."""
    return refreshing.warm(Settings.from_environment())
