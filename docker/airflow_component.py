"""Starts one component of Airflow in a container, with the environment that every installation has.

`airflow_component.py prepare` brings the metadata up to date and makes the pool; `people …` is
`nightledger.airflow.people`, which gives people roles; any other words are those of Airflow's command line.
What compose says (`AIRFLOW__…`) wins over what a single machine needs. The API server makes roles and the
administrator when it starts.
"""

import json
import os
import subprocess
import sys

from nightledger import operations
from nightledger.airflow.environment import ADMIN, WRITER_POOL, environment, passwords_file
from nightledger.settings import Settings, read_settings

ONE_WRITER = "One task at a time writes the open night's warehouse."


def component_environment(settings: Settings) -> dict[str, str]:
    """Variables for Airflow: the installation's, and on top those of the container."""
    given = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")}
    if given.get("AIRFLOW__API__BASE_URL", "").startswith("https:"):
        # Behind a proxy that speaks TLS: no cookie over a plain connection, addresses as browsers have them.
        given = {"AIRFLOW__FAB__COOKIE_SECURE": "True", "AIRFLOW__FAB__ENABLE_PROXY_FIX": "True", **given}
    return {**environment(settings), **given}


def prepare(settings: Settings, variables: dict[str, str]) -> None:
    """Make what the components expect to find; a second run changes nothing."""
    if password := os.environ.get("AIRFLOW_ADMIN_PASSWORD"):
        passwords = passwords_file(settings)
        passwords.write_text(json.dumps({ADMIN: password}) + "\n")
    operations.engine(settings)  # the first night reads its tables before it writes to any
    airflow = [sys.executable, "-m", "airflow"]
    for words in (["db", "migrate"], ["pools", "set", WRITER_POOL, "1", ONE_WRITER]):
        subprocess.run([*airflow, *words], env=variables, check=True)  # noqa: S603 - fixed words


def main() -> None:
    """Become the component."""
    settings = read_settings()
    variables = component_environment(settings)
    if sys.argv[1:] == ["prepare"]:
        prepare(settings, variables)
        return
    module, words = "airflow", sys.argv[1:]
    if words[:1] == ["people"]:
        module, words = "nightledger.airflow.people", words[1:]
    os.execve(sys.executable, [sys.executable, "-m", module, *words], variables)  # noqa: S606


if __name__ == "__main__":
    main()
