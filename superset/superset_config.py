"""Configuration of Superset (SUPERSET_CONFIG_PATH). What may differ comes from the environment."""

import os
import sys
from datetime import timedelta

from flask_caching.backends.filesystemcache import FileSystemCache
from nightledger_superset import keeping, look, metadata, reading, reports
from nightledger_superset.roles import GUEST
from nightledger_superset.settings import FOLDER, Settings
from superset.config import DISALLOWED_SQL_FUNCTIONS as _DISALLOWED
from superset.config import TALISMAN_CONFIG as _TALISMAN

_settings = Settings.from_environment()
_keys = _settings.keys()
_look = look.read_look(FOLDER)

# DuckDB takes its time zone from here; times in the warehouse are UTC.
os.environ["TZ"] = "UTC"

APP_NAME = _look.theme["name"]
SECRET_KEY = _keys["secret_key"]
SQLALCHEMY_DATABASE_URI = _settings.dsn
SQLALCHEMY_ENGINE_OPTIONS = metadata.engine_options(_settings.dsn)
SQLALCHEMY_TRACK_MODIFICATIONS = False
WEBDRIVER_BASEURL = f"{_settings.internal_address}/"
WEBDRIVER_BASEURL_USER_FRIENDLY = f"{_settings.address}/"

# Reading
DB_CONNECTION_MUTATOR = reading.mutate
CUSTOM_SECURITY_MANAGER = reading.SecurityManager
EXTRA_RELATED_QUERY_FILTERS = reading.CHOICES
PREVENT_UNSAFE_DB_CONNECTIONS = True
ROW_LIMIT = 10_000
SQL_MAX_ROW = 100_000
SQLLAB_TIMEOUT = 60
SUPERSET_WEBSERVER_TIMEOUT = 120
# What reads files, settings or other text as SQL; row-level security would not see through `query`.
DISALLOWED_SQL_FUNCTIONS = {
    **_DISALLOWED,
    "duckdb": {
        *("read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_ndjson", "read_ndjson_auto"),
        *("read_parquet", "parquet_scan", "parquet_metadata", "parquet_schema", "read_text", "read_blob"),
        *("read_duckdb", "sniff_csv", "glob", "query", "query_table", "getenv", "duckdb_settings"),
        *("duckdb_secrets", "duckdb_databases", "duckdb_logs", "current_setting", "which_secret"),
    },
}

# Cache: one store for everything, and every answer's key holds its publication (`reading.SecurityManager`).
_cache = (
    {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": _settings.redis_url}
    if _settings.redis_url
    else {
        "CACHE_TYPE": "FileSystemCache",
        "CACHE_DIR": str(_settings.state / "cache"),
        "CACHE_THRESHOLD": 20_000,
    }
)
CACHE_DEFAULT_TIMEOUT = int(timedelta(days=7).total_seconds())
CACHE_CONFIG = {**_cache, "CACHE_KEY_PREFIX": "nightledger_", "CACHE_DEFAULT_TIMEOUT": CACHE_DEFAULT_TIMEOUT}
DATA_CACHE_CONFIG = CACHE_CONFIG
FILTER_STATE_CACHE_CONFIG = CACHE_CONFIG
EXPLORE_FORM_DATA_CACHE_CONFIG = CACHE_CONFIG


def FLASK_APP_MUTATOR(app: object) -> None:
    """What Superset has no setting for."""
    keeping.keep(app)
    reading.share_saved_queries(app)
    reading.name_own_roles(app)


RESULTS_BACKEND = FileSystemCache(
    str(_settings.state / "results"), threshold=1_000, default_timeout=CACHE_DEFAULT_TIMEOUT
)

# What is on
FEATURE_FLAGS = {
    "DASHBOARD_RBAC": True,
    "DRILL_BY": True,
    "DRILL_TO_DETAIL": True,
    "EMBEDDED_SUPERSET": True,
    "ENABLE_TEMPLATE_PROCESSING": False,
    "DATE_FORMAT_IN_EMAIL_SUBJECT": True,
    "ALERT_REPORTS": reports.are_sent(_settings),
    "PLAYWRIGHT_REPORTS_AND_THUMBNAILS": reports.are_sent(_settings),
}
globals().update(reports.config(_settings))
if os.environ.get("NIGHTLEDGER_SUPERSET_DRAWS"):
    reports.use_browser(_settings)
else:
    # Only the worker draws: Superset would start Playwright here as well, to see whether it is there.
    sys.modules["playwright"] = None  # type: ignore[assignment]

# Access
AUTH_USER_REGISTRATION = False
RATELIMIT_ENABLED = True
AUTH_RATE_LIMITED = True
AUTH_RATE_LIMIT = "20 per minute"
GUEST_ROLE_NAME = GUEST
GUEST_TOKEN_JWT_SECRET = _keys["guest_key"]
GUEST_TOKEN_JWT_EXP_SECONDS = 300
GUEST_TOKEN_VALIDATOR_HOOK = reading.is_guest_confined
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = _settings.address.startswith("https")

# Nothing is asked of the Internet: no telemetry, fonts or map tiles; no page of it may read answers.
ENABLE_CORS = False
TALISMAN_CONFIG = {
    **_TALISMAN,
    "content_security_policy": {
        **_TALISMAN["content_security_policy"],
        "img-src": ["'self'", "blob:", "data:"],
        "connect-src": ["'self'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'", "data:"],
        "frame-ancestors": ["'self'", *_settings.embedded_in],
    },
    # X-Frame-Options knows no list of pages, and would forbid those of frame-ancestors.
    "frame_options": None,
    "session_cookie_secure": SESSION_COOKIE_SECURE,
}

# Look
THEME_DEFAULT, THEME_DARK = look.themes(_look)
ENABLE_UI_THEME_ADMINISTRATION = False
EXTRA_CATEGORICAL_COLOR_SCHEMES, EXTRA_SEQUENTIAL_COLOR_SCHEMES = look.colour_schemes(_look)
