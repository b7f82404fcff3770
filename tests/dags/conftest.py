"""The API server with our plugin, and somebody of each role who can ask it."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from nightledger.airflow.roles import roles_of
from nightledger.settings import Settings

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

Headers = dict[str, str]


def user_of(role: str) -> str:
    """The person of a role in tests; the password is the name."""
    return re.sub(r"\W+", "_", role.lower())


@pytest.fixture(scope="session")
def airflow_app(airflow_db: None) -> Iterator["TestClient"]:
    """The whole API server with the people `viewer`, `fraud_desk`, `fraud_desk_demo_bank`, …, `admin`."""
    from airflow.api_fastapi.app import create_app, get_auth_manager
    from fastapi.testclient import TestClient

    from nightledger.airflow.auth import add_person

    with TestClient(create_app()) as client:
        manager = get_auth_manager()
        with manager.flask_app.app_context():
            people = manager.security_manager
            for role in roles_of(Settings()).roles:
                name = user_of(role)
                person = people.find_user(name) or add_person(people, name, [people.find_role(role)], name)
                people.reset_password(person.id, name)
        yield client


@pytest.fixture(scope="session")
def log_in(airflow_app: "TestClient") -> Callable[[str], Headers]:
    """What a person sends with each request: `log_in("fraud_desk")`."""
    known: dict[str, Headers] = {}

    def of(user: str) -> Headers:
        if user not in known:
            answer = airflow_app.post("/auth/token", json={"username": user, "password": user})
            known[user] = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return known[user]

    return of
