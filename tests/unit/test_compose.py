"""The promises of docker-compose.yml, the Dockerfile and Prometheus' configuration, without an engine."""

import re
import stat
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from docker import env_file
from nightledger.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
ONCE = {"airflow-prepare", "superset-prepare"}
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY")
OTHERS = {"NIGHTLEDGER_OPENLINEAGE_KEY"}
"""Secrets of somebody else's server, which may need none: nothing makes them up."""
SUPERSET_SETTINGS = {
    f"NIGHTLEDGER_{short or whole}"
    for short, whole in re.findall(
        r'given\("(\w+)"|"NIGHTLEDGER_(\w+)"',
        (ROOT / "superset" / "nightledger_superset" / "settings.py").read_text(),
    )
}
FIXED = {
    *("HOME", "INBOX", "SOURCES", "CLIENTS", "MODELS", "CODE_REVISION", "BROWSER"),
    *("AIRFLOW_PORT", "MLFLOW_PORT", "EVIDENTLY_PORT", "SUPERSET_PORT"),
}
"""Settings that an image states, or that a container has no use for: volumes and ports are compose's."""


def variables(text: str) -> dict[str, list[str]]:
    """What compose fills in: name, and how each use ends (`:?…`, `:-…`, `-…` or nothing); `$$` is none."""
    found: dict[str, list[str]] = {}
    for name, rest in re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", text):
        found.setdefault(name, []).append(rest)
    return found


def test_the_services_are_those_that_were_asked_for():
    """Catches a service that was lost in an edit: all other tests here would still pass."""
    assert set(SERVICES) == {
        *("postgres", "redis", "mlflow", "prometheus", "grafana"),
        *("airflow-prepare", "airflow-api-server", "airflow-scheduler", "airflow-dag-processor"),
        *("airflow-triggerer", "airflow-worker"),
        *("superset-prepare", "superset-web", "superset-worker", "superset-beat"),
    }
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "airflow-worker": ["celery"],
        "prometheus": ["observability"],
        "grafana": ["observability"],
    }


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_says_when_it_is_healthy(name):
    """Catches a service that looks fine while it hangs. What runs once and ends is waited for instead."""
    check = SERVICES[name]["healthcheck"]
    if name in ONCE:
        assert check == {"disable": True}
        waiting = [other for other in SERVICES.values() if name in other.get("depends_on", {})]
        assert waiting
        for other in waiting:
            assert other["depends_on"][name] == {"condition": "service_completed_successfully"}
    else:
        assert check["test"][0] in ("CMD", "CMD-SHELL")
        assert check["interval"] and check["timeout"] and check["retries"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_may_do_no_more_than_it_must(name):
    """Catches a container with the rights of root, or one that stays down after the host was restarted."""
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service.get("cap_add", [])) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
    assert service["restart"] in ("unless-stopped", "on-failure:3")
    assert not service.get("privileged") and "network_mode" not in service and "user" not in service


def test_every_port_is_open_on_this_machine_only():
    """Catches a port that the whole network can reach: TLS and log-in are a proxy's business before it."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    for port in ports:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-\d+\}:\d+", port), port


def test_no_secret_has_a_default():
    """Catches a password that everybody knows because nobody had to set it."""
    used = variables(TEXT)
    secret = {name for name in used if SECRET.search(name)}
    assert secret == set(env_file.SECRETS) | OTHERS
    assert {rest for name in OTHERS for rest in used[name]} == {":-"}
    for name in env_file.SECRETS:
        assert all(rest.startswith(":?") for rest in used[name]), name
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key) and value:
                assert "${" in value, f"{name}: {key} stands there as it is"


def test_every_variable_is_in_the_example_environment():
    """Catches a variable that an operator cannot find."""
    listed = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.M))
    assert set(variables(TEXT)) <= listed
    ours = {name for service in SERVICES.values() for name in service.get("environment", {})}
    settings = {f"NIGHTLEDGER_{field.upper()}" for field in Settings.model_fields}
    assert {name for name in ours if name.startswith("NIGHTLEDGER_")} <= settings | SUPERSET_SETTINGS


def test_every_setting_reaches_the_service_that_reads_it():
    """Catches a deadline or a sender in .env that containers never see, so that their defaults hold."""
    fixed = {f"NIGHTLEDGER_{name}" for name in FIXED}
    ours = {f"NIGHTLEDGER_{name.upper()}" for name in Settings.model_fields} - SUPERSET_SETTINGS
    shared = {"NIGHTLEDGER_THREADS", "NIGHTLEDGER_SMTP_URL", "NIGHTLEDGER_REPORT_SENDER"}
    for name, service in SERVICES.items():
        if service["image"].startswith("nightledger:"):
            assert (ours | shared) - fixed <= set(service["environment"]), name
        elif service["image"].startswith("nightledger-superset"):
            assert SUPERSET_SETTINGS - fixed <= set(service["environment"]), name


def test_the_example_shows_the_defaults_of_compose():
    """Catches an example that would change how the containers behave, or one that shows a secret."""
    shown = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.M))
    for name, uses in variables(TEXT).items():
        if name in env_file.SECRETS:
            assert shown[name] in ("", "{}"), name
        elif name not in ("INBOX", "BACKUPS"):
            assert {rest.lstrip(":-") for rest in uses} == {shown[name]}, name


def test_every_image_is_pinned():
    """Catches an upgrade that happens because a server was moved."""
    for name, service in SERVICES.items():
        image = service["image"]
        if "build" in service:
            assert image.endswith(":${IMAGE_TAG:-local}"), name
        else:
            assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+(\.\d+)?(-bookworm)?", image), name


def test_what_compose_builds_and_mounts_is_there():
    """Catches a renamed target or file, which only a build of ten minutes would notice."""
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", (ROOT / "docker" / "Dockerfile").read_text(), re.M))
    volumes = set(COMPOSE["volumes"])
    for name, service in SERVICES.items():
        if "build" in service:
            assert service["build"]["target"] in stages, name
        for mount in service.get("volumes", []):
            source = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", mount).split(":")[0]
            assert source in volumes or (ROOT / source).exists(), f"{name}: {mount}"


def test_an_image_gets_only_what_it_names():
    """Catches data, secrets or an environment of gigabytes that a build would take along."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert not {name for name in let_in if name.startswith((".", "var", "tests"))}
    copied = re.findall(r"^COPY (?!--from)(\S+)", (ROOT / "docker" / "Dockerfile").read_text(), re.M)
    for source in copied:
        assert any(source == name or source.startswith(f"{name}/") for name in let_in), source
        assert (ROOT / source).exists(), source


def test_no_image_runs_as_root():
    """Catches a stage that ends with the rights it needed to install something."""
    stages = re.split(r"^FROM ", (ROOT / "docker" / "Dockerfile").read_text(), flags=re.M)[1:]
    run = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    for stage in stages:
        name = stage.partition("\n")[0].rpartition(" AS ")[2]
        if name in run:
            assert re.findall(r"^USER (\w+)", stage, re.M)[-1] == "nightledger", name


def test_containers_have_the_same_packages_as_everybody():
    """Catches an image with another version of what the tests ran with, and a stale lock."""
    locks = {
        name: {
            wanted.name: str(wanted.specifier)
            for line in (ROOT / name).read_text().splitlines()
            if (text := line.partition("#")[0].strip())
            for wanted in [Requirement(text)]
        }
        for name in ("requirements.txt", "docker/requirements.txt")
    }
    ours, added = locks.values()
    assert {name: pin for name, pin in added.items() if ours.get(name, pin) != pin} == {}
    for line in (ROOT / "docker" / "requirements.in").read_text().splitlines():
        if not line.startswith("#"):
            wanted = Requirement(line.partition("#")[0].strip())
            assert wanted.specifier.contains(added[wanted.name].removeprefix("==")), (
                f"run `make lock`: {line}"
            )
            assert "# " in line
    by_hand = re.findall(
        r"uv pip install[^\n]* ([\w-]+)(==[\w.]+)$", (ROOT / "docker/Dockerfile").read_text(), re.M
    )
    assert by_hand == [("psycopg2-binary", added["psycopg2-binary"])]


def test_secrets_are_made_once_and_each_is_another(tmp_path):
    """Catches a second `make env-file` that locks everybody out, or a file that others may read."""
    path = tmp_path / ".env"
    path.write_text("NIGHTLEDGER_HOME=elsewhere\nREDIS_PASSWORD=chosen\nTOKEN_KEY=\n")
    env_file.main(path)
    made = path.read_text()
    env_file.main(path)
    assert path.read_text() == made
    values = dict(line.split("=", 1) for line in made.splitlines())
    assert (values["NIGHTLEDGER_HOME"], values["REDIS_PASSWORD"]) == ("elsewhere", "chosen")
    secret = [values[name] for name in env_file.SECRETS if name != "NIGHTLEDGER_PULL_TOKENS"]
    assert len(set(secret)) == len(secret) == len(env_file.SECRETS) - 1
    assert all(len(value) >= 16 for value in secret if value != "chosen")
    assert made.count("TOKEN_KEY=") == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert env_file.completed("") != env_file.completed("")


def test_prometheus_asks_for_the_page_that_there_is():
    """Catches a dashboard that stays empty because the address or the place of the token differ."""
    (job,) = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["airflow-api-server:8080"]
    assert job["metrics_path"] == "/nightledger/metrics"
    assert job["authorization"]["credentials_file"] in SERVICES["prometheus"]["entrypoint"][2]


def test_every_database_is_reached_by_the_driver_that_is_installed():
    """Catches an address without a driver: SQLAlchemy then takes one that no image has."""
    addresses = re.findall(r"(\S+)://\w+:\$\{\w+_DB_PASSWORD", TEXT)
    assert len(addresses) == 7
    assert {address.removeprefix("db+") for address in addresses} == {"postgresql+psycopg2"}
