"""An analyst of one client tries to read another client's rows, in every way that Superset offers.

Each way is refused or answers with the analyst's own rows; beside it stands somebody for whom the same works.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.superset.asking import COUNT, PASSWORD, Answer, Person, of_client

MINE, OTHER = "demo_bank", "demo_wallet"
DATASET = "mart_customer_overview"
People = Callable[..., Person]


@pytest.fixture(scope="session")
def analyst(people: People) -> Person:
    """Of one client."""
    return people(f"Analyst · {MINE}")


@pytest.fixture(scope="session")
def cleared(people: People) -> Person:
    """An analyst who may see every client."""
    return people("Analyst")


@pytest.fixture(scope="session")
def admin(people: People) -> Person:
    """May do everything."""
    return people("Admin")


@pytest.fixture(scope="session")
def customers(ids: dict[str, dict[str, int]]) -> int:
    """The data set of customers."""
    return ids["datasets"][DATASET]


def is_refused(answer: Answer) -> bool:
    """Whether nothing but words came back."""
    return 400 <= answer.status < 500 and not of_client(answer) & {OTHER}


def test_chart_data_is_confined_to_the_client(analyst: Person, cleared: Person, customers: int) -> None:
    """Catches a data set without a rule, and a rule that names the wrong roles."""
    assert {MINE, OTHER} <= {row["client_id"] for row in cleared.data(customers).rows}
    assert [row["client_id"] for row in analyst.data(customers).rows] == [MINE]


def test_every_data_set_with_clients_is_confined(
    analyst: Person, app: Any, bundle: Any, ids: dict[str, dict[str, int]]
) -> None:
    """Catches a data set added later that the rules do not know."""
    answered = 0
    for name, info in bundle.datasets.items():
        answer = analyst.data(ids["datasets"][name], {"columns": [] if info.shared else ["client_id"]})
        if answer.status == 200 and not info.shared:
            assert {row["client_id"] for row in answer.rows} <= {MINE}, name
            answered += 1
        else:
            assert answer.status == 403 or not of_client(answer), name
    assert answered


def test_no_row_of_a_data_set_names_another_client(
    analyst: Person, bundle: Any, ids: dict[str, dict[str, int]]
) -> None:
    """Catches figures of one client's own model, named after it, that are repeated for every client."""
    answered = 0
    for name in bundle.datasets:
        whole = {"columns": [], "metrics": [], "row_limit": 10_000}
        answer = analyst.data(ids["datasets"][name], whole, result_type="samples")
        if answer.status == 200:
            assert OTHER not in json.dumps(answer.rows), name
            answered += 1
    assert answered


ALTERED: dict[str, dict[str, Any]] = {
    "a filter on the other client": {"filters": [{"col": "client_id", "op": "==", "val": OTHER}]},
    "a filter on both": {"filters": [{"col": "client_id", "op": "IN", "val": [MINE, OTHER]}]},
    "a condition that closes the bracket": {"extras": {"where": f"1 = 1) or (client_id = '{OTHER}'"}},
    "a condition that is always true": {"extras": {"where": "1 = 1 or 2 = 2"}},
    "a comment behind the condition": {"extras": {"where": "1 = 1 -- "}},
    "a condition on groups": {"extras": {"having": f"1 = 1 or max(client_id) = '{OTHER}'"}},
    "a second statement": {"extras": {"where": "1 = 1; select * from marts.mart_customer_overview"}},
    "a union": {"extras": {"where": "1 = 1 union all select client_id, 1 from marts.mart_customer_overview"}},
    "a metric with a query in it": {
        "metrics": [
            {
                "expressionType": "SQL",
                "label": "all",
                "sqlExpression": "(select string_agg(distinct client_id, '') from marts.dim_customers)",
            }
        ]
    },
    "a column with a query in it": {
        "columns": [
            {
                "expressionType": "SQL",
                "label": "all",
                "sqlExpression": "(select max(client_id) from marts.dim_customers)",
            }
        ]
    },
    "a table function in a metric": {
        "metrics": [
            {
                "expressionType": "SQL",
                "label": "all",
                "sqlExpression": "(from query('select client_id from marts.mart_customer_overview') limit 1)",
            }
        ]
    },
    "a sort with a query in it": {
        "orderby": [
            [
                {
                    "expressionType": "SQL",
                    "label": "all",
                    "sqlExpression": "(select count(*) from marts.mart_customer_overview)",
                },
                True,
            ]
        ]
    },
    "a window over everybody": {
        "metrics": [{"expressionType": "SQL", "label": "n", "sqlExpression": "list(max(client_id)) over ()"}]
    },
    "the count of rows": {"is_rowcount": True},
    "no grouping": {"columns": ["client_id", "customer_id"], "metrics": None, "row_limit": 5000},
    "series of all clients": {"series_columns": ["client_id"], "series_limit": 10},
}


@pytest.mark.parametrize("way", ALTERED)
def test_altered_queries_give_no_other_clients_rows(analyst: Person, customers: int, way: str) -> None:
    """Catches an expression that gets around the rule's condition."""
    answer = analyst.data(customers, ALTERED[way])
    assert is_refused(answer) or (answer.status == 200 and OTHER not in json.dumps(answer.rows))


def test_altered_queries_work_for_the_cleared(cleared: Person, customers: int) -> None:
    """Catches a test above that is refused for another reason than the rule."""
    assert {row["client_id"] for row in cleared.data(customers, ALTERED["a filter on both"]).rows} == {
        MINE,
        OTHER,
    }
    window = cleared.data(customers, ALTERED["a window over everybody"]).rows
    assert OTHER in json.dumps(window)


@pytest.mark.parametrize("kind", ["full", "results", "samples", "drill_detail", "post_processed", "query"])
def test_every_kind_of_answer_is_confined(
    analyst: Person, cleared: Person, customers: int, kind: str
) -> None:
    """Catches drill-to-detail, samples or the shown query going around the rule."""
    question = {"columns": ["client_id", "customer_id"], "metrics": [], "row_limit": 5000}
    answer = analyst.data(customers, question, result_type=kind)
    assert OTHER not in answer.text
    if kind == "query" and answer.status == 200:
        assert f"client_id = '{MINE}'" in answer.text
    elif kind != "query":
        assert MINE in answer.text
        assert OTHER in cleared.data(customers, question, result_type=kind).text


def test_exports_are_confined_and_only_for_some(
    analyst: Person, cleared: Person, people: People, customers: int
) -> None:
    """Catches a CSV with everybody in it, and a role that may take data away although it must not."""
    for form in ("csv", "xlsx"):
        answer = analyst.data(customers, result_format=form)
        assert answer.status == 200
        assert MINE in answer.text
        assert OTHER not in answer.text
        assert OTHER in cleared.data(customers, result_format=form).text
        assert people(f"Compliance · {MINE}").data(customers, result_format=form).status == 403
    for path in (
        "/api/v1/assets/export/",
        "/api/v1/dataset/export/?q=!(1)",
        "/api/v1/database/export/?q=!(1)",
        "/api/v1/chart/export/?q=!(1)",
        "/api/v1/dashboard/export/?q=!(1)",
    ):
        assert is_refused(analyst.ask("GET", path)), path


def test_drill_to_detail_is_confined(analyst: Person, cleared: Person, customers: int) -> None:
    """Catches the table of single rows, which the browser asks of another address than charts."""
    path = f"/datasource/samples?datasource_type=table&datasource_id={customers}&per_page=50"
    asked = {"filters": [{"col": "client_id", "op": "IN", "val": [OTHER]}]}
    assert {row["client_id"] for row in _samples(cleared.ask("POST", path, asked))} == {OTHER}
    assert _samples(analyst.ask("POST", path, asked)) == []
    assert {row["client_id"] for row in _samples(analyst.ask("POST", path, {}))} == {MINE}


def _samples(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.text
    rows: list[dict[str, Any]] = answer.content["result"]["data"]
    return rows


def test_values_that_filters_offer_are_confined(analyst: Person, cleared: Person, customers: int) -> None:
    """Catches lists of values: names of other clients are theirs too."""
    path = f"/api/v1/datasource/table/{customers}/column/client_id/values/"
    assert analyst.ask("GET", path).content["result"] == [MINE]
    assert OTHER in cleared.ask("GET", path).content["result"]


def test_saved_charts_are_confined(answers: dict[str, Answer], answers_of_client: dict[str, Answer]) -> None:
    """Catches a chart whose saved query is asked by its number without the rule."""
    assert not [name for name, answer in answers_of_client.items() if OTHER in answer.text]
    assert [name for name, answer in answers.items() if OTHER in answer.text]


def test_cached_answers_are_not_shared(
    analyst: Person, cleared: Person, people: People, customers: int
) -> None:
    """Catches a key of the cache that forgets the rule: the second person gets the first one's rows."""
    question = {"columns": ["client_id", "region"], "metrics": [COUNT]}
    assert OTHER in cleared.data(customers, question).text
    again = cleared.data(customers, question)
    assert again.content["result"][0]["is_cached"]
    assert OTHER not in analyst.data(customers, question).text
    other = people(f"Analyst · {OTHER}").data(customers, question)
    assert {row["client_id"] for row in other.rows} == {OTHER}
    key = again.content["result"][0]["cache_key"]
    for path in (f"/api/v1/chart/data/{key}", f"/api/v1/chart/data/qc-{key}"):
        answer = analyst.ask("GET", path)
        assert answer.status >= 400
        assert OTHER not in answer.text


def test_nobody_of_a_client_has_sql_lab(
    analyst: Person, cleared: Person, people: People, ids: dict[str, dict[str, int]]
) -> None:
    """Catches SQL Lab for the confined: row-level security does not hold in it."""
    statement = {
        "database_id": 1,
        "sql": "select distinct client_id from marts.dim_customers",
        "schema": "marts",
    }
    statement |= {"runAsync": False, "expand_data": False}
    found = cleared.ask("POST", "/api/v1/sqllab/execute/", statement)
    assert {row["client_id"] for row in found.content["data"]} > {MINE}
    both = people("Analyst", f"Analyst · {MINE}"), people("Admin", f"Executive · {MINE}")
    for person in (
        *(analyst, people(f"Compliance · {MINE}"), people("Executive"), people("Fraud desk")),
        *both,
    ):
        assert is_refused(person.ask("POST", "/api/v1/sqllab/execute/", statement))
        assert is_refused(person.ask("GET", "/api/v1/query/"))
        assert is_refused(person.ask("GET", "/api/v1/saved_query/"))


def test_an_analyst_reads_the_saved_queries_and_changes_none(cleared: Person) -> None:
    """Catches questions in git that only the admin who imported them can see, or that anybody can rewrite."""
    found = cleared.ask("GET", "/api/v1/saved_query/").content["result"]
    assert {query["label"] for query in found} >= {"The 100 riskiest borrowers"}
    path = f"/api/v1/saved_query/{found[0]['id']}"
    assert cleared.ask("GET", path).content["result"]["sql"]
    for method, body in (("PUT", {"sql": "select 1"}), ("DELETE", None)):
        assert is_refused(cleared.ask(method, path, body))
    assert cleared.ask("GET", path).content["result"]["sql"] != "select 1"


@pytest.mark.parametrize(
    "statement",
    [
        "select * from read_text('/etc/hostname')",
        "select * from query('select 1')",
        "select current_setting('secret_directory')",
        "select getenv('HOME')",
        "attach '/tmp/other.duckdb' as other",
        "copy (select 1) to '/tmp/taken.csv'",
        "create table marts.mine as select 1 as one",
        "delete from marts.mart_customer_overview",
        "set enable_external_access = true",
        "install httpfs",
    ],
)
def test_sql_lab_reads_publications_only(cleared: Person, statement: str) -> None:
    """Catches SQL Lab as a way to files of the machine, or to change what is published."""
    asked = {"database_id": 1, "sql": statement, "schema": "marts", "runAsync": False}
    answer = cleared.ask("POST", "/api/v1/sqllab/execute/", asked)
    assert 400 <= answer.status < 600
    assert "data" not in (answer.content or {})


def test_virtual_data_sets_cannot_be_made_by_a_client(
    analyst: Person, admin: Person, customers: int, app: Any
) -> None:
    """Catches a way to put own SQL, which the rules do not know, behind a chart."""
    virtual = {
        "database": 1,
        "schema": "marts",
        "table_name": "mine",
        "sql": "select * from marts.dim_customers",
    }
    assert is_refused(analyst.ask("POST", "/api/v1/dataset/", virtual))
    assert is_refused(analyst.ask("PUT", f"/api/v1/dataset/{customers}", {"sql": virtual["sql"]}))
    asked = {"database_id": 1, "schema": "marts", "table_name": "dim_customers"}
    assert is_refused(analyst.ask("POST", "/api/v1/dataset/get_or_create/", asked))
    assert is_refused(analyst.ask("POST", "/datasource/save/", {"data": json.dumps({"id": customers})}))
    assert admin.ask("POST", "/api/v1/dataset/", virtual | {"table_name": "of_admin"}).status == 201


@pytest.fixture
def unruled(app: Any, admin: Person) -> Iterator[int]:
    """A virtual data set of all clients that somebody made in the browser, and that every role may read."""
    virtual = {"database": 1, "schema": "marts", "table_name": "by_hand"}
    sql = "select client_id, count(*) as n from marts.dim_customers group by 1"
    number = admin.ask("POST", "/api/v1/dataset/", {**virtual, "sql": sql}).content["id"]
    with app.app_context():
        from superset.connectors.sqla.models import SqlaTable

        from superset import db, security_manager

        permission = db.session.get(SqlaTable, number).perm
        for name in ("Analyst", f"Analyst · {MINE}", "Gamma"):
            pair = security_manager.find_permission_view_menu("datasource_access", permission)
            security_manager.add_permission_role(security_manager.find_role(name), pair)
    yield number
    assert admin.ask("DELETE", f"/api/v1/dataset/{number}").status == 200


def test_a_data_set_without_rules_shows_a_client_nothing(
    analyst: Person, cleared: Person, people: People, unruled: int
) -> None:
    """Catches the gap that Superset leaves: what no rule names is shown whole."""
    question = {"columns": ["client_id"], "metrics": []}
    assert {row["client_id"] for row in cleared.data(unruled, question).rows} > {MINE}
    assert analyst.data(unruled, question).rows == []
    assert people("Gamma").data(unruled, question).rows == []
    assert people("Analyst", f"Analyst · {MINE}").data(unruled, question).rows == []


def test_ad_hoc_sources_are_refused(analyst: Person, customers: int) -> None:
    """Catches a query on something that is no data set of the analyst's."""
    for kind, number in (("query", 1), ("saved_query", 1), ("sl_table", 1), ("table", 99_999)):
        body = {
            "datasource": {"id": number, "type": kind},
            "queries": [{"columns": ["client_id"], "metrics": []}],
        }
        assert analyst.ask("POST", "/api/v1/chart/data", body).status >= 400
    form = {
        "datasource": f"{customers}__table",
        "viz_type": "table",
        "groupby": ["client_id"],
        "metrics": [COUNT],
    }
    legacy = analyst.ask("POST", f"/superset/explore_json/?form_data={json.dumps(form)}", {})
    assert is_refused(legacy) or OTHER not in legacy.text


def test_data_sets_of_other_desks_are_refused(
    people: People, bundle: Any, ids: dict[str, dict[str, int]], app: Any
) -> None:
    """Catches a role that reads data sets of dashboards that are not its own."""
    executive = people(f"Executive · {MINE}")
    with app.app_context():
        from nightledger_superset.access import datasets_behind

        behind = datasets_behind(bundle)
        mine = set().union(
            *(behind[slug] for slug, info in bundle.dashboards.items() if "Executive" in info.roles)
        )
    others = [number for number in ids["datasets"].values() if number not in mine]
    assert mine
    for number in others:
        assert is_refused(executive.data(number))


def test_superset_s_own_roles_see_nothing(people: People, customers: int, app: Any) -> None:
    """Catches Superset's role Alpha, which may read every data set, given to somebody instead of ours."""
    assert people("Alpha").data(customers, {"columns": ["client_id"]}).rows == []


def test_an_own_dashboard_opens_no_data_set(
    people: People, ids: dict[str, dict[str, int]], app: Any, bundle: Any
) -> None:
    """Catches an own dashboard with roles, whose filters name a data set of another desk."""
    desk = f"Fraud desk · {MINE}"
    with app.app_context():
        from nightledger_superset.access import datasets_behind

        from superset import security_manager

        role = security_manager.find_role(desk).id
        behind = datasets_behind(bundle)
    mine = {n for slug, info in bundle.dashboards.items() if "Fraud desk" in info.roles for n in behind[slug]}
    of_clients = [ids["datasets"][name] for name, info in bundle.datasets.items() if not info.shared]
    own = next(number for number in of_clients if number in mine)
    other = next(number for number in of_clients if number not in mine)
    filters = [{"id": f"F{n}", "targets": [{"datasetId": n}]} for n in (own, other)]
    page = {
        "dashboard_title": "my own",
        "published": True,
        "roles": [role],
        "json_metadata": json.dumps({"native_filter_configuration": filters}),
    }
    made = people(desk).ask("POST", "/api/v1/dashboard/", page)
    assert made.status == 201, made.text
    asked = {"dashboardId": made.content["id"], "type": "NATIVE_FILTER"}
    for dataset, status in ((own, 200), (other, 403)):
        around = {"form_data": {**asked, "native_filter_id": f"F{dataset}"}}
        assert people(desk).data(dataset, **around).status == status
    assert people(desk).ask("DELETE", f"/api/v1/dashboard/{made.content['id']}").status == 200


@pytest.mark.parametrize("roles", [("Analyst",), ("Compliance",), ("Compliance", "Analyst")])
def test_what_a_client_may_change_is_little(
    people: People, ids: dict[str, dict[str, int]], roles: tuple[str, ...]
) -> None:
    """Catches rights that let somebody of a client change pages, rules or people, or read the log."""
    analyst = people(*(f"{role} · {MINE}" for role in roles))
    dashboard = next(iter(ids["dashboards"].values()))
    for method, path in (
        ("PUT", f"/api/v1/dashboard/{dashboard}"),
        ("DELETE", f"/api/v1/dashboard/{dashboard}"),
        ("POST", "/api/v1/rowlevelsecurity/"),
        ("GET", "/api/v1/rowlevelsecurity/"),
        ("GET", "/api/v1/security/users/"),
        ("GET", "/api/v1/log/"),
        ("POST", "/api/v1/database/"),
        ("POST", "/api/v1/assets/import/"),
        ("POST", "/api/v1/security/guest_token/"),
    ):
        assert is_refused(analyst.ask(method, path, {} if method in ("PUT", "POST") else None)), path


def test_the_confined_are_told_of_no_other_client_s_roles_and_people(
    analyst: Person, cleared: Person, people: People, ids: dict[str, dict[str, int]]
) -> None:
    """Catches the ids of all clients in the names of the roles that a page is for, and who works for them."""
    mine, other = f"Analyst · {MINE}", f"Analyst · {OTHER}"
    people(other)
    page = f"/api/v1/dashboard/{ids['dashboards']['executive']}"
    pages = "/api/v1/dashboard/?q=(page_size:100)"
    for path in (page, f"{page}?q=(columns:!(id,roles))", pages):
        whole, told = cleared.ask("GET", path), analyst.ask("GET", path)
        assert (whole.status, told.status) == (200, 200), path
        assert other in _names(whole), path
        assert {name for name in _names(told) if MINE in name} == {mine}, path
        assert OTHER not in told.text, path
    roles = "/api/v1/dashboard/related/roles?q=(page_size:100)"
    choices = [row["text"] for row in analyst.ask("GET", roles).content["result"]]
    assert choices == [mine]
    assert other in [row["text"] for row in cleared.ask("GET", roles).content["result"]]
    owners = "/api/v1/dashboard/related/owners?q=(page_size:100)"
    few, many = (person.ask("GET", owners).content["count"] for person in (analyst, cleared))
    assert 1 <= few < many
    for path in ("/api/v1/dashboard/_info", "/api/v1/chart/_info", "/api/v1/me/roles/", "/api/v1/menu/"):
        assert OTHER not in analyst.ask("GET", path).text, path


def _names(answer: Answer) -> set[str]:
    found = answer.content["result"]
    return {
        role["name"] for page in (found if isinstance(found, list) else [found]) for role in page["roles"]
    }


def test_compliance_reads_who_did_what(people: People) -> None:
    """Catches the log going missing for those who must see it."""
    assert people("Compliance").ask("GET", "/api/v1/log/").status == 200
    assert is_refused(people("Compliance", f"Compliance · {MINE}").ask("GET", "/api/v1/log/"))


def test_who_is_no_longer_named_is_shut_out(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an account that outlives its line in `roles.yml`, and one that closes those of the browser."""
    from nightledger_superset import access, roles
    from nightledger_superset.settings import Settings

    def made(named: dict[str, Any]) -> tuple[bool, list[str]]:
        monkeypatch.setattr(roles, "read_users", lambda: named)
        with app.app_context():
            from superset import db, security_manager

            access._make_people()
            db.session.commit()
            assert security_manager.find_user("admin").active
            user = security_manager.find_user("priya")
            return user.active, [role.name for role in user.roles]

    stated = {"priya": {"roles": [f"Analyst · {MINE}"]}}
    assert made(stated) == (True, stated["priya"]["roles"])
    person = Person(app, "priya", password=Settings.from_environment().password("priya"))
    assert person.ask("GET", "/api/v1/me/").status == 200
    assert made({}) == (False, [])
    assert person.ask("GET", "/api/v1/me/").status == 401
    assert made(stated) == (True, stated["priya"]["roles"])


# Embedded dashboards


@pytest.fixture(scope="session")
def embedded(admin: Person, ids: dict[str, dict[str, int]]) -> str:
    """The id under which a dashboard may be embedded."""
    path = f"/api/v1/dashboard/{ids['dashboards']['executive']}/embedded"
    found: str = admin.ask("POST", path, {"allowed_domains": []}).content["result"]["uuid"]
    return found


def token_of(admin: Person, embedded: str, rules: list[dict[str, Any]]) -> Answer:
    """What the server answers to whoever asks for a token."""
    body = {
        "user": {"username": "visitor"},
        "resources": [{"type": "dashboard", "id": embedded}],
        "rls": rules,
    }
    return admin.ask("POST", "/api/v1/security/guest_token/", body)


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{"clause": "1 = 1"}],
        [{"clause": f"client_id = '{MINE}' or 1 = 1"}],
        [{"clause": f"client_id = '{MINE}'", "dataset": 1}],
        [{"clause": f"client_id = '{MINE}'"}, {"clause": f"client_id = '{OTHER}'"}],
    ],
)
def test_a_guest_token_confines_to_one_client(
    admin: Person, embedded: str, rules: list[dict[str, Any]]
) -> None:
    """Catches a host page that asks for a token without a rule: its visitors would see everybody."""
    assert token_of(admin, embedded, rules).status == 400


def test_a_guest_sees_one_client(
    admin: Person, people: People, app: Any, embedded: str, ids: dict[str, dict[str, int]]
) -> None:
    """Catches a guest who sees nothing, alters the query, asks without the dashboard, or makes up a token."""
    token = token_of(admin, embedded, [{"clause": f"client_id = '{MINE}'"}]).content["token"]
    guest = Person(app, token=token)
    assert guest.ask("GET", "/api/v1/me/roles/").status == 200, "the page asks this before it shows anything"
    dashboard = ids["dashboards"]["executive"]
    for path in (f"/api/v1/dashboard/{dashboard}", "/api/v1/dashboard/"):
        assert OTHER not in guest.ask("GET", path).text, "a name of a role"
    differing = 0
    asking = _charts_on_clients(app, dashboard)
    for chart, _, question in asking:
        around = {"form_data": {"slice_id": chart, "dashboardId": dashboard}}
        asked = ("POST", "/api/v1/chart/data", question | around)
        rows = guest.ask(*asked).rows
        assert rows == people(f"Executive · {MINE}").ask(*asked).rows
        differing += bool(rows) and rows != people("Executive").ask(*asked).rows
    assert differing
    chart, dataset, _ = asking[-1]
    saved = guest.ask("GET", f"/api/v1/chart/{chart}/data/?dashboard_id={dashboard}")
    assert OTHER not in saved.text
    for query in ALTERED.values():
        altered = guest.data(dataset, query, **around)
        assert is_refused(altered) or OTHER not in json.dumps(altered.content)
    assert is_refused(guest.data(dataset))
    assert is_refused(guest.ask("POST", "/api/v1/sqllab/execute/", {"database_id": 1, "sql": "select 1"}))
    header, claims, signature = token.split(".")
    forged = json.loads(base64.urlsafe_b64decode(claims + "==")) | {"rls_rules": [], "exp": time.time() + 999}
    forged_claims = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode().rstrip("=")
    stranger = Person(app, token=f"{header}.{forged_claims}.{signature}")
    assert is_refused(stranger.data(dataset, **around))


def _charts_on_clients(app: Any, dashboard: int) -> list[tuple[int, int, dict[str, Any]]]:
    """Charts of a dashboard whose data sets have clients: number, data set and what the page asks."""
    with app.app_context():
        from superset.models.dashboard import Dashboard

        from superset import db

        return [
            (chart.id, chart.datasource_id, json.loads(chart.query_context))
            for chart in db.session.get(Dashboard, dashboard).slices
            if chart.query_context
            and any(column.column_name == "client_id" for column in chart.datasource.columns)
        ]


def test_a_host_s_server_gets_a_token(
    admin: Person, app: Any, embedded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches steps of docs/how-to/open-the-dashboards.md that a server with its protections on refuses."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)
    host = app.test_client()
    login = {"username": "person_host", "password": PASSWORD, "provider": "db"}
    with app.app_context():
        from superset import security_manager

        held = [security_manager.find_role("Admin")]
        security_manager.add_user("person_host", "h", "h", "host@example.org", held, password=PASSWORD)
    bearer = host.post("/api/v1/security/login", json=login).get_json()["access_token"]
    headers = {"Authorization": f"Bearer {bearer}"}
    body = {
        "user": {"username": "visitor"},
        "resources": [{"type": "dashboard", "id": embedded}],
        "rls": [{"clause": f"client_id = '{MINE}'"}],
    }
    path = "/api/v1/security/guest_token/"
    assert host.post(path, json=body, headers=headers).status_code == 400
    csrf = host.get("/api/v1/security/csrf_token/", headers=headers).get_json()["result"]
    answer = host.post(path, json=body, headers={**headers, "X-CSRFToken": csrf})
    assert answer.status_code == 200, answer.get_data()
    assert answer.get_json()["token"]


def test_only_named_pages_may_embed(app: Any) -> None:
    """Catches a header that forbids every frame, and one that allows any page to hold a dashboard."""
    headers = app.test_client().get("/login/").headers
    assert "X-Frame-Options" not in headers
    assert "frame-ancestors 'self' https://portal.example;" in headers["Content-Security-Policy"] + ";"
