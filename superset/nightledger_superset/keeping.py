"""Keeps what Superset works out anew for every answer though it cannot have changed.

`superset_config.py` has Superset call `keep` when it starts (FLASK_APP_MUTATOR).
"""

import hashlib
import json
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

logger = logging.getLogger(__name__)

UNKNOWN_FOR = 60
"""Seconds for which rows without a currency are not asked for it again."""


def keep(_app: object) -> None:
    """Have Superset look once for the currency of an answer's rows, and for the tables that SQL reads, and
    never for the name of DuckDB's default schema.

    It does all that for every answer, also where the answer itself comes from the cache: the first is a query
    of its own in the warehouse, the second parses the SQL, the third opens the warehouse to ask for a
    constant. Together they cost more than all else.
    """
    from superset.common import query_actions
    from superset.db_engine_specs.duckdb import DuckDBEngineSpec
    from superset.utils import rls

    query_actions.detect_currency = kept_currency(query_actions.detect_currency)
    rls.collect_rls_predicates_for_sql = predicates
    DuckDBEngineSpec.get_default_schema = staticmethod(default_schema)


def kept_currency(detect: Callable[..., str | None]) -> Callable[..., str | None]:
    """Superset's `detect_currency` with a memory: of these rows, for readers with the same rules, on this
    publication (`reading.SecurityManager.get_rls_cache_key`).
    """

    def currency(datasource: Any, **asked: Any) -> str | None:
        from superset.extensions import cache_manager, security_manager

        rules = security_manager.get_rls_cache_key(datasource)
        told = [datasource.uid, str(datasource.changed_on), rules, asked]
        digest = hashlib.sha256(json.dumps(told, default=str, sort_keys=True).encode()).hexdigest()
        known: dict[str, str | None] | None = cache_manager.data_cache.get(f"currency-{digest}")
        if known is None:
            known = {"currency": detect(datasource=datasource, **asked)}
            # None may only mean that the question failed: Superset does not tell.
            brief = None if known["currency"] else UNKNOWN_FOR
            cache_manager.data_cache.set(f"currency-{digest}", known, timeout=brief)
        return known["currency"]

    return currency


def default_schema(_database: Any, _catalog: str | None) -> str:
    """Superset's `get_default_schema`: DuckDB has no other."""
    return "main"


def predicates(sql: str, database: Any, catalog: str | None, schema: str) -> list[str]:
    """Superset's `collect_rls_predicates_for_sql`: the reader's rules on each table that the SQL reads.

    Rules are asked for each time; what the SQL reads is not. As there, whatever fails here gives none: the
    query itself goes the same way and fails, and tells its reader why.
    """
    from superset.utils.rls import get_predicates_for_table

    try:
        tables = _tables(sql, database.db_engine_spec.engine)
        named = {table.qualify(catalog=catalog, schema=schema) for table in tables}
        default = database.get_default_catalog()
        return sorted(
            {rule for table in named for rule in get_predicates_for_table(table, database, default)}
        )
    except Exception:
        logger.warning("No rules found for the key of an answer.", exc_info=True)
        return []


@lru_cache(maxsize=1024)
def _tables(sql: str, engine: str) -> frozenset[Any]:
    from superset.sql.parse import SQLScript

    return frozenset(
        table for statement in SQLScript(sql, engine=engine).statements for table in statement.tables
    )
