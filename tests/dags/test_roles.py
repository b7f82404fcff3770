"""Each page and each action, tried by somebody of each role. What is allowed stands here a second time."""

from typing import Any, NamedTuple

import pytest
from starlette.routing import Route

from nightledger.airflow.people import PersonError, give
from nightledger.airflow.roles import RoleError, Roles, clients_of, roles, roles_of
from nightledger.pages import access, app
from nightledger.settings import Settings

VIEWER, ENGINEER, SCIENTIST = "viewer", "data_engineer", "data_scientist"
APPROVER, DESK, ADMIN = "approver", "fraud_desk", "admin"
PEOPLE = (VIEWER, ENGINEER, SCIENTIST, APPROVER, DESK, ADMIN)
READERS = {VIEWER, ENGINEER, SCIENTIST, APPROVER, ADMIN}
EVERYBODY = set(PEOPLE)

PAGES: dict[tuple[str, str], set[str]] = {
    ("GET", "/runs/{dag_id}/{run_id}"): READERS,
    ("GET", "/morning"): EVERYBODY,
    ("GET", "/runbooks/{name}"): EVERYBODY,
    ("GET", "/reports"): READERS,
    ("GET", "/reports/{publication}/{model}"): READERS,
    ("GET", "/reports/{publication}/{model}/{file}"): READERS,
    ("GET", "/incidents"): READERS,
    ("GET", "/incidents/{incident_id}"): READERS,
    ("POST", "/incidents/{incident_id}/acknowledge"): {ENGINEER, SCIENTIST, ADMIN},
    ("GET", "/cases"): {DESK, ADMIN},
    ("GET", "/cases/{client_id}/{transaction_key}"): {DESK, ADMIN},
    ("POST", "/cases/{client_id}/{transaction_key}"): {DESK, ADMIN},
}
"""Who may ask for which page. The page of metrics is for a token and not for people."""

API, RUN = "/api/v2", "/api/v2/dags/{dag}/dagRuns/none"


class Attempt(NamedTuple):
    """Something that somebody tries in Airflow: a request, and who gets further than to a refusal."""

    what: str
    method: str
    path: str
    allowed: set[str]
    body: Any = None


def _about(dag: str, who: set[str], *, clears: set[str]) -> list[Attempt]:
    """What can be done with a DAG. Nothing of it exists here: who is allowed is told that, or of the body."""
    run = RUN.format(dag=dag)
    return [
        Attempt(f"start {dag}", "POST", f"{API}/dags/{dag}/dagRuns", who, {"nonsense": 1}),
        Attempt(f"pause {dag}", "PATCH", f"{API}/dags/{dag}", who, {"is_paused": True}),
        Attempt(f"clear tasks of {dag}", "POST", f"{API}/dags/{dag}/clearTaskInstances", clears, {}),
        Attempt(f"clear a run of {dag}", "POST", f"{run}/clear", clears, {}),
        Attempt(f"fail a run of {dag}", "PATCH", run, clears, {"state": "failed"}),
        Attempt(f"set a task of {dag}", "PATCH", f"{run}/taskInstances/x", clears, {"new_state": "success"}),
        Attempt(f"backfill {dag}", "POST", f"{API}/backfills", who, {"dag_id": dag}),
        Attempt(f"delete a run of {dag}", "DELETE", run, {ADMIN}),
        Attempt(f"delete {dag}", "DELETE", f"{API}/dags/{dag}", {ADMIN}),
    ]


ATTEMPTS = [
    Attempt("list DAGs", "GET", f"{API}/dags", EVERYBODY),
    Attempt("list runs", "GET", f"{API}/dags/~/dagRuns", EVERYBODY),
    Attempt("see what waits", "GET", f"{API}/dags/~/dagRuns/~/hitlDetails", EVERYBODY),
    Attempt("list plugins, which draws the tabs", "GET", f"{API}/plugins", EVERYBODY),
    Attempt("read a log", "GET", f"{RUN.format(dag='nightly')}/taskInstances/x/logs/1", READERS),
    Attempt("read code", "GET", f"{API}/dagSources/nightly", READERS),
    Attempt("read an XCom", "GET", f"{RUN.format(dag='train')}/taskInstances/x/xcomEntries", READERS),
    *_about("nightly", {ENGINEER, ADMIN}, clears={ENGINEER, ADMIN}),
    *_about("history", {ENGINEER, ADMIN}, clears={ENGINEER, ADMIN}),
    *_about("train", {SCIENTIST, ADMIN}, clears={ADMIN}),
    *_about("reports", {SCIENTIST, ENGINEER, ADMIN}, clears={ENGINEER, ADMIN}),
    Attempt(
        "answer an approval",
        "PATCH",
        f"{RUN.format(dag='train')}/taskInstances/approve/0/hitlDetails",
        {APPROVER, ADMIN},
        {"chosen_options": ["Approve"], "params_input": {}},
    ),
    Attempt(
        "forge an answer",
        "POST",
        f"{RUN.format(dag='train')}/taskInstances/approve/xcomEntries",
        {ADMIN},
        {"key": "return_value", "value": "Approve"},
    ),
    Attempt("say that an asset has changed", "POST", f"{API}/assets/events", {ADMIN}, {"asset_id": 1}),
    Attempt("make an asset", "POST", f"{API}/assets/1/materialize", {ADMIN}, {}),
    Attempt("read connections", "GET", f"{API}/connections", {ADMIN}),
    Attempt("make a connection", "POST", f"{API}/connections", {ADMIN}, {}),
    Attempt("read variables", "GET", f"{API}/variables", {ADMIN}),
    Attempt("make a variable", "POST", f"{API}/variables", {ADMIN}, {}),
    Attempt("widen a pool", "PATCH", f"{API}/pools/warehouse_writer", {ADMIN}, {"slots": 9}),
    Attempt("read the configuration, which nobody may", "GET", f"{API}/config", set()),
    Attempt("list people", "GET", "/auth/fab/v1/users", {ADMIN}),
    Attempt("make a person", "POST", "/auth/fab/v1/users", {ADMIN}, {}),
    Attempt("change a role", "PATCH", "/auth/fab/v1/roles/Viewer", {ADMIN}, {}),
]


def our_routes() -> dict[tuple[str, str], Route]:
    """The pages of our plugin, without that of metrics."""
    routes = [route for route in app.routes if isinstance(route, Route) and route.path != "/metrics"]
    return {(method, route.path): route for route in routes for method in route.methods - {"HEAD"}}


def of_a_page(path: str) -> str:
    """An address of a route, whose things do not exist."""
    return "/nightledger" + path.format_map(dict.fromkeys(_NAMES, "1"))


_NAMES = (
    "dag_id",
    "run_id",
    "name",
    "publication",
    "model",
    "file",
    "incident_id",
    "client_id",
    "transaction_key",
)


def test_every_page_says_here_who_may_see_it():
    """Catches a page that nobody has thought of: a new one is tried by nobody until it stands above."""
    assert set(our_routes()) == set(PAGES)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("route", PAGES, ids=" ".join)
def test_each_page_is_for_its_roles_only(airflow_app, log_in, person, route):
    """Catches a page or a form that another role reaches, and one that its own role does not."""
    method, path = route
    answer = airflow_app.request(method, of_a_page(path), headers=log_in(person), follow_redirects=False)
    if person in PAGES[route]:
        assert answer.status_code not in (401, 403, 500), answer.text
    else:
        assert answer.status_code == 403
        assert "Admin is needed to" in answer.text
        assert f"You are logged in as {person}, with the role" in answer.text


@pytest.mark.parametrize("route", PAGES, ids=" ".join)
def test_no_page_is_for_somebody_who_has_not_logged_in(airflow_app, route):
    """Catches a route outside the private router, also one that only takes forms."""
    method, path = route
    assert airflow_app.request(method, of_a_page(path)).status_code == 401


@pytest.mark.parametrize("route", [route for route in PAGES if route[0] == "POST"], ids=" ".join)
def test_a_form_of_another_site_does_nothing(airflow_app, log_in, route):
    """Catches a form elsewhere that acts as the administrator whose browser sends the cookie along."""
    cookie = {"cookie": f"_token={log_in(ADMIN)['Authorization'].partition(' ')[2]}"}

    def post(**headers: str) -> tuple[int, bool]:
        answer = airflow_app.post(
            of_a_page(route[1]),
            headers=cookie | {name.replace("_", "-"): value for name, value in headers.items()},
            follow_redirects=False,
        )
        return answer.status_code, "This was not sent from" in answer.text

    for strange in (
        {},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "origin": "http://testserver"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://evil.example", "authorization": "Basic eDp5"},
    ):
        assert post(**strange) == (403, True), strange
    for own in ({"sec_fetch_site": "same-origin"}, {"origin": "http://testserver"}):
        assert post(**own)[1] is False


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=[one.what for one in ATTEMPTS])
def test_each_action_in_airflow_is_for_its_roles_only(airflow_app, log_in, person, attempt):
    """Catches a role that may start, clear, approve or change what is not its own, or that is locked out."""
    answer = airflow_app.request(
        attempt.method, attempt.path, headers=log_in(person), json=attempt.body, follow_redirects=False
    )
    assert answer.status_code != 401
    assert (answer.status_code != 403) == (person in attempt.allowed), (answer.status_code, answer.text)


def test_what_is_done_to_many_at_once_is_refused_one_by_one(airflow_app, log_in):
    """Catches the way around: a request about all DAGs, which sets a task of the training."""
    one = {"dag_id": "train", "dag_run_id": "none", "task_id": "approve", "new_state": "success"}
    body = {"actions": [{"action": "update", "entities": [one], "action_on_non_existence": "fail"}]}
    url = f"{API}/dags/~/dagRuns/~/taskInstances"
    answer = airflow_app.patch(url, headers=log_in(ENGINEER), json=body)
    assert "not authorized" in answer.text
    assert airflow_app.patch(url, headers=log_in(SCIENTIST), json=body).status_code == 403


def test_every_dag_has_a_role_that_may_run_it(dagbag):
    """Catches a new DAG that only the administrator can start, and a name in roles.yml that is none."""
    named = {
        resource.removeprefix("DAG:")
        for action in roles().actions.values()
        for resource in action.airflow.get("can_edit", [])
        if resource.startswith("DAG:")
    }
    assert named == set(dagbag.dags)


def test_roles_are_those_of_the_file_and_a_second_start_changes_nothing(airflow_app):
    """Catches rights that stay when the file has them no longer, or that Airflow's page of roles gave."""
    from airflow.api_fastapi.app import get_auth_manager

    from nightledger.airflow.auth import bring_in_roles

    manager = get_auth_manager()
    with manager.flask_app.app_context():
        people = manager.security_manager

        def held() -> dict[str, set[tuple[str, str]]]:
            return {
                role.name: {(one.action.name, one.resource.name) for one in role.permissions}
                for role in people.get_all_roles()
            }

        before = held()
        stated = roles_of(Settings())
        assert set(before) == set(stated.roles), "Airflow's own Viewer, User and Op would be roles besides"
        assert {name: has for name, has in before.items() if name != "Admin"} == {
            name: stated.permissions(name) for name in stated.roles if name != "Admin"
        }
        people.add_permission_to_role(
            people.find_role("Viewer"), people.create_permission("can_edit", "Connections")
        )
        people.remove_permission_from_role(
            people.find_role("Viewer"), people.create_permission("can_read", "DAGs")
        )
        assert held() != before
        bring_in_roles(people, Settings())
        assert held() == before
        bring_in_roles(people, Settings())
        assert held() == before


def test_a_person_gets_a_role_another_one_and_none(airflow_app):
    """Catches a person who keeps what was taken away, and a password that outlives a new one."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager

    def log_in_with(password: str | None) -> int:
        return airflow_app.post("/auth/token", json={"username": "ada", "password": password}).status_code

    def sees_cases(token: str) -> int:
        FabAuthManager.cache.clear()  # Airflow remembers a person for 30 s
        return airflow_app.get("/nightledger/cases", headers={"Authorization": f"Bearer {token}"}).status_code

    manager = get_auth_manager()
    with manager.flask_app.test_request_context():
        people = manager.security_manager
        with pytest.raises(PersonError, match="There is no ada yet"):
            give(people, roles(), "ada", [])
        with pytest.raises(RoleError, match="no role 'boss'; there are: Viewer"):
            give(people, roles(), "ada", ["boss"])
        password = give(people, roles(), "ada", ["fraud_desk"])
        assert (len(password), log_in_with(password), log_in_with("ada")) == (16, 201, 401)
        token = airflow_app.post("/auth/token", json={"username": "ada", "password": password}).json()
        assert sees_cases(token["access_token"]) == 200
        assert give(people, roles(), "ada", ["Viewer", "Approver"]) is None
        assert sees_cases(token["access_token"]) == 403
        another = give(people, roles(), "ada", [])
        assert (log_in_with(password), log_in_with(another)) == (401, 201)
        assert give(people, roles(), "ada", ["none"]) is None
        assert log_in_with(another) == 401
        assert sees_cases(token["access_token"]) in (401, 403)
        with pytest.raises(PersonError, match="account of the commands"):
            give(people, roles(), "nightledger", ["Viewer"])


def test_a_slip_in_the_roles_is_told_where_it_stands():
    """Catches a role that lacks what its list misspells, and a page that asks for an unknown action."""
    with pytest.raises(ValueError, match="role Viewer: there is no action raed_runs"):
        Roles.model_validate({"actions": {}, "roles": {"Viewer": {"description": "", "may": ["raed_runs"]}}})
    role = {"description": "", "may": [], "per_client": ["raed_cases"]}
    with pytest.raises(ValueError, match="role Desk: there is no action raed_cases"):
        Roles.model_validate({"actions": {}, "roles": {"Desk": role}})
    with pytest.raises(RoleError, match="knows no action 'raed_runs'"):
        access.needs("raed_runs")


def test_a_role_of_a_client_outweighs_those_of_none():
    """Catches somebody of one client who sees all by another role, or because theirs has left clients/."""
    assert clients_of(["Admin", "Fraud desk"]) is None
    assert clients_of(["Fraud desk · demo_bank", "Admin", "Fraud desk"]) == {"demo_bank"}
    assert clients_of(["Fraud desk · demo_bank", "Fraud desk · a-client-that-left"]) == {
        "demo_bank",
        "a-client-that-left",
    }


def test_a_role_of_a_client_works_cases_and_sees_nothing_that_is_of_all_clients():
    """Catches a list of one client's role that grows a page on which other clients stand."""
    stated = roles_of(Settings())
    assert stated.named("fraud_desk demo-bank") == "Fraud desk · demo_bank"
    confined = {name: role.may for name, role in stated.roles.items() if clients_of([name])}
    clients = {path.stem for path in Settings().clients.glob("*.yml")}
    assert set(confined) == {f"Fraud desk · {client}" for client in clients}
    assert set(confined.values()) == {frozenset({"see_runs", "read_cases", "work_cases"})}
