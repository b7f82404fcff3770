"""The one typed settings object, fed by the environment (`.env.example` lists every variable)."""

import os
import secrets
from datetime import date, time
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableJson

PROJECT = Path(__file__).resolve().parents[2]


class SettingsError(ValueError):
    """A setting cannot be used; the message names it and never shows its value."""


def read_settings() -> "Settings":
    """The settings of this process, from its environment and `.env`.

    Raises:
        SettingsError: names each setting that is no good, and why.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = [f"NIGHTLEDGER_{str(row['loc'][0]).upper()}: {row['msg'].lower()}" for row in error.errors()]
    except UnreadableJson as error:
        # Its message names the field, and its cause would show the value.
        names = (name for name in Settings.model_fields if f'"{name}"' in str(error))
        wrong = [f"NIGHTLEDGER_{name.upper()}: is no JSON" for name in names]
    lines = "\n".join(f"- {line}" for line in dict.fromkeys(wrong))
    raise SettingsError(
        f"settings that cannot be used:\n{lines}\n"
        "Mend them in the environment or in .env; .env.example says what each one means."
    )


class Settings(BaseSettings):
    """Every setting of an installation; all state lives under `home`.

    Relative paths are taken from the project's root, so that a command means the same in every folder.
    """

    model_config = SettingsConfigDict(
        env_prefix="NIGHTLEDGER_",
        env_file=PROJECT / ".env",
        extra="ignore",
        hide_input_in_errors=True,  # a mistyped secret stays out of the log
    )

    home: Path = Field(Path("var"), description="directory that holds all state")
    inbox: Path | None = Field(None, description="where banks drop files; default: <home>/inbox")
    sources: Path = Field(Path("sources"), description="source contracts")
    clients: Path = Field(Path("clients"), description="client settings")
    models: str = Field("", description="more folders of models' YAML, joined by colons")
    token_key: SecretStr | None = Field(None, description="key of the hash that tokenises personal columns")
    pull_tokens: dict[str, SecretStr] = Field({}, description="token of each contract with `pull`, as JSON")
    operations_dsn: str = Field("", description="SQLAlchemy URL; default: SQLite at <home>/operations.db")
    registry_uri: str = Field("", description="MLflow tracking URI; default: SQLite under <home>/registry")
    threads: int = Field(2, ge=1, description="threads of DuckDB and of the models")
    memory_limit: str = Field("4GB", description="memory limit of one DuckDB connection")
    dbt_threads: int | None = Field(
        None, ge=1, description="dbt models built at once; default: two, one in a large warehouse"
    )
    keep_publications: int = Field(7, ge=1, description="publications kept besides the month-ends")
    min_free_share: float = Field(0.05, ge=0, lt=1, description="refuse a night on a fuller disk")
    airflow_port: int = Field(8080, description="port of the Airflow UI on 127.0.0.1")
    airflow_dsn: str = Field("", description="SQLAlchemy URL of Airflow's metadata; default: SQLite")
    mlflow_port: int = Field(5000, description="port of `make mlflow` on 127.0.0.1")
    evidently_port: int = Field(8085, description="port of `make evidently` on 127.0.0.1")
    openlineage_url: str = Field("", description="takes lineage events; default: files at <home>/lineage")
    openlineage_namespace: str = Field("nightledger", description="of jobs and tables in these events")
    openlineage_key: SecretStr | None = Field(None, description="API key of openlineage_url; default: none")
    superset_host: str = Field("127.0.0.1", description="where Superset listens; 0.0.0.0 inside a container")
    superset_port: int = Field(8088, description="port of Superset")
    superset_address: str = Field(
        "", description="Superset as browsers reach it; default: http://127.0.0.1:port"
    )
    superset_embedded_in: str = Field("", description="origins that may embed, by spaces; default: none")
    superset_internal_address: str = Field("", description="as its own browser reaches it; default: the same")
    superset_dsn: str = Field("", description="SQLAlchemy URL of Superset's metadata; default: SQLite")
    superset_redis: str = Field("", description="redis:// URL: cache, and queue of reports; default: files")
    superset_secret_key: SecretStr | None = Field(None, description="signs sessions; default: made once")
    superset_admin_password: SecretStr | None = Field(None, description="of `admin`; default: made once")
    superset_memory_limit: str = Field("1GB", description="memory limit of DuckDB in a process of Superset")
    smtp_url: SecretStr | None = Field(
        None, description="smtp://user:password@host:port of reports and alerts"
    )
    alert_to: str = Field("", description="addresses that alerts go to, by commas; empty: no mail")
    alert_webhook: SecretStr | None = Field(None, description="URL that alerts are posted to as JSON")
    alert_address: str = Field("", description="Airflow as people reach it; default: http://127.0.0.1:port")
    report_sender: str = Field("nightledger@localhost", description="sender of reports")
    browser: str = Field("/usr/bin/chromium", description="Chromium that draws the pages of reports")
    metrics_token: SecretStr | None = Field(None, description="token of /nightledger/metrics; none: no page")
    code_revision: str = Field("", description="commit of code that came without git, as in an image")
    schedule: str = Field("0 2 * * *", description="cron of nightly in UTC; empty: no DAG starts by itself")
    schedule_from: date = Field(date(2000, 1, 1), description="first business date that the schedule runs")
    publish_by: time = Field(time(5), description="UTC time of day by which a night must be published")
    on_time_objective: float = Field(0.99, gt=0, lt=1, description="share of nights published by then")
    fresh_hours: float = Field(30.0, gt=0, description="hours after its day for which a publication is fresh")
    fresh_objective: float = Field(0.99, gt=0, lt=1, description="share of time that readers see a fresh one")
    cpu_hour_price: float = Field(0.04, ge=0, description="price of an hour of CPU, in your own currency")

    @field_validator(
        *(
            "inbox",
            "dbt_threads",
            "metrics_token",
            "token_key",
            "openlineage_key",
            "superset_secret_key",
            "superset_admin_password",
            "smtp_url",
            "alert_webhook",
        ),
        mode="before",
    )
    @classmethod
    def _empty_is_default(cls, value: object) -> object:
        return value or None

    def _from_project(self, path: Path) -> Path:
        return path if path.is_absolute() else PROJECT / path

    def model_post_init(self, _context: object) -> None:
        """Make every path absolute and fill the defaults that hang on `home`."""
        self.home = self._from_project(self.home)
        self.inbox = self._from_project(self.inbox) if self.inbox else self.home / "inbox"
        self.sources = self._from_project(self.sources)
        self.clients = self._from_project(self.clients)
        self.operations_dsn = self.operations_dsn or f"sqlite:///{self.home / 'operations.db'}"
        self.registry_uri = self.registry_uri or f"sqlite:///{self.registry / 'mlflow.db'}"

    @property
    def project(self) -> Path:
        """Root of the checkout."""
        return PROJECT

    @property
    def folders_of_models(self) -> list[Path]:
        """Folders of models' YAML: the project's, and those of NIGHTLEDGER_MODELS."""
        others = (self._from_project(Path(folder)) for folder in self.models.split(os.pathsep) if folder)
        return [PROJECT / "ml" / "models", *others]

    @property
    def dbt_project(self) -> Path:
        """The dbt project."""
        return PROJECT / "dbt_project"

    @property
    def landing(self) -> Path:
        """Files as they arrived, by content hash; never changed."""
        return self.home / "landing"

    @property
    def builds(self) -> Path:
        """Publications, the open night, and the pointers `current` and `open`."""
        return self.home / "builds"

    @property
    def archive(self) -> Path:
        """Scored vectors and reasons of every publication."""
        return self.home / "archive"

    @property
    def registry(self) -> Path:
        """Models and their metadata."""
        return self.home / "registry"

    @property
    def spill(self) -> Path:
        """What does not fit into memory while a query runs."""
        return self.home / "spill"

    @property
    def airflow_home(self) -> Path:
        """Airflow's own directory."""
        return self.home / "airflow"

    def token_key_bytes(self) -> bytes:
        """Key of the tokenising hash.

        Without the setting, a random key is made once and kept at `<home>/secrets/token.key` (mode 0600):
        an installation without a key would write tokens that anybody can recompute.
        """
        if self.token_key is not None:
            return self.token_key.get_secret_value().encode()
        path = self.home / "secrets" / "token.key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_suffix(f".{os.getpid()}")
            temporary.write_text(secrets.token_hex(32))
            temporary.chmod(0o600)
            try:
                os.link(temporary, path)
            except FileExistsError:
                pass  # another process was first; its key is the one that counts
            finally:
                temporary.unlink()
        return path.read_text().encode()
