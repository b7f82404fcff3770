"""Real nights of a small bank taken apart: what differs, what a change would do, whence a number comes."""

import contextlib
import csv
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from nightledger import warehouse
from nightledger.engineering import dbt_dev, diff, docs, lineage, published, session, sums, trace
from nightledger.publications import PublicationError
from nightledger.settings import PROJECT, Settings
from tests.dbt.bank import LAST
from tests.dbt.factory import Warehouse
from tests.dbt.nights import CARDS, Nights, hour

FIRST, SECOND = date(2026, 1, 5), date(2026, 1, 6)


def copied(project: Path, to: Path) -> Path:
    """A copy of a dbt project without what dbt has written into it."""
    return shutil.copytree(project, to, ignore=shutil.ignore_patterns("target", "logs"))


@pytest.fixture(scope="module")
def published_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dbt project that the nights run; it stays as it is while somebody works on the real one."""
    return copied(PROJECT / "dbt_project", tmp_path_factory.mktemp("project") / "dbt_project")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory, published_project: Path) -> Nights:
    """Two nights: the second brings one more purchase and corrects one of the first."""
    made = Nights(tmp_path_factory.mktemp("engineering") / "home", cards=CARDS)
    one = (
        "t1,anna,2026-01-05,-12.50,CAFE SOL,C",
        "t2,anna,2026-01-05,-30.00,REWE,C",
        "t3,ben,2026-01-05,-7.25,X,C",
    )
    two = ("t4,anna,2026-01-06,-1.50,CAFE SOL,C", "t2,anna,2026-01-05,-31.00,REWE,C")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "dbt_project", property(lambda _: published_project))
        made.file("cards_2026-01-05.csv", *one, known_at=hour(FIRST))
        made.run(FIRST, tests=False)
        made.file("cards_2026-01-06.csv", *two, known_at=hour(SECOND))
        made.run(SECOND, tests=False)
    return made


@pytest.fixture
def settings(nights: Nights, published_project: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The installation of the nights, as a command finds it."""
    monkeypatch.setattr(Settings, "dbt_project", property(lambda _: published_project))
    for module in (diff, dbt_dev, trace):
        monkeypatch.setattr(module, "read_settings", lambda: nights.settings)
        monkeypatch.setattr(module.console, "_width", 200)
    return nights.settings


@pytest.fixture
def project(
    settings: Settings, published_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the dbt project that a test may change."""
    copy = copied(published_project, tmp_path / "dbt_project")
    monkeypatch.setattr(Settings, "dbt_project", property(lambda _: copy))
    return copy


@contextlib.contextmanager
def untouched(settings: Settings) -> Iterator[None]:
    """Fails when a block changes a publication, a pointer, or anything else under builds/."""
    before = {path: path.lstat() for path in settings.builds.rglob("*")}
    yield
    after = {path: path.lstat() for path in settings.builds.rglob("*")}
    assert before.keys() == after.keys()
    for path, stat in before.items():
        assert (stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_mode) == (
            after[path].st_mtime_ns,
            after[path].st_size,
            after[path].st_ino,
            after[path].st_mode,
        ), path


def test_a_diff_counts_what_a_night_brought(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a diff that misses a row, a value or the money, or tells of tables in which nothing changed."""
    with untouched(settings):
        assert diff.main([]) == 0
    said = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}

    assert "From 2026-01-05.1 (A) to 2026-01-06.1 (B)" in said
    assert lines["raw.transactions"][1:] == ["3", "5", "2", "0", "0"]
    assert lines["features.features_customers"][1:] == ["2", "4", "2", "0", "0"]
    assert lines["marts.mart_customer_overview"][1:] == ["2", "2", "0", "0", "2"]
    assert lines["spend_30d"] == ["spend_30d", "1", "2.50"]
    assert "sum of spend_30d of bank: 49.75 → 52.25" in said
    assert "marts.fct_movements_excluded" not in said


def test_a_diff_shows_rows_only_of_the_table_asked_for(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches customers' values in a summary, and a question about one table that shows none."""
    diff.main([])
    assert "anna" not in capsys.readouterr().out
    assert diff.main(["--table", "marts.mart_customer_overview"]) == 0
    said = capsys.readouterr().out

    assert "anna" in said
    lines = [line.split()[2:] for line in said.splitlines() if line.startswith("bank")]
    assert ["spend_30d", "42.50", "45.00"] in lines


def test_what_cannot_be_compared_is_said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a traceback where a person mistyped an id."""
    for words, message in (
        (
            ["--a", "2020-01-01.1"],
            "there is no publication 2020-01-01.1. There are: 2026-01-05.1, 2026-01-06.1",
        ),
        (["--a", "2026-01-06.1"], "cannot differ from itself"),
        (["--b", "2026-01-05.1"], "was built on nothing"),
        (["--table", "marts.nothing"], "neither publication has a table marts.nothing"),
    ):
        assert diff.main(words) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(PublicationError, match="nothing has been published"):
        diff.find(Settings(home=settings.home / "none", _env_file=None), None)


def test_nothing_changed_nothing_differs(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches differences that come from building again and not from a change, and then hide a real one."""
    with untouched(settings):
        assert dbt_dev.main(["--select", "int_movements stg_customers", "--no-tests"]) == 0
    said = capsys.readouterr().out

    assert "int_transactions" in said, "children are built as well"
    assert "values that differ" not in said
    assert "rows that are" not in said
    assert "tables say the same" in said


def test_a_changed_model_shows_its_rows_and_those_of_its_children(
    settings: Settings, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a change whose effect on past dates or on marts nobody sees before it is published."""
    model = project / "models" / "intermediate" / "money" / "int_transactions.sql"
    assert "as spend_amount" in model.read_text()
    model.write_text(model.read_text().replace("as spend_amount", "* 2 as spend_amount"))
    with untouched(settings):
        dbt_dev.main([])
    said = capsys.readouterr().out
    totals = " ".join(said.split())

    assert "intermediate.int_transactions: values that differ" in said
    assert "sum of spend_amount of bank: 82.25 → 164.50" in totals
    assert "sum of spend_30d of bank: 52.25 → 104.50" in totals
    assert "int_transactions model success" in totals
    features = next(
        line.split() for line in said.splitlines() if line.startswith("features.features_customers ")
    )
    assert features[1:5] == ["4", "4", "0", "0"], "both as-of dates were built"
    assert "int_business_days: " not in said, "what holds the dates to build holds the last night's again"
    private = settings.home / "dev" / "2026-01-06.1"
    with warehouse.connect(private, settings=settings) as connection:
        built = connection.execute("select sum(spend_amount) from marts.fct_transactions").fetchone()
    assert built == (Decimal("164.5"),)


def test_a_model_that_breaks_is_named_with_its_error(
    settings: Settings, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a broken model that looks as if it changed nothing."""
    model = project / "models" / "marts" / "dim_customers.sql"
    model.write_text(model.read_text() + "where nonsense = 1\n")
    assert dbt_dev.main([]) == 1
    said = capsys.readouterr().out
    assert "dim_customers" in said and "nonsense" in said


def test_what_cannot_be_built_is_said(
    settings: Settings, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches silence after a mistyped name, and two builds that destroy each other's copy."""
    assert dbt_dev.main([]) == 1
    assert "no model differs from those of 2026-01-06.1" in capsys.readouterr().err
    assert dbt_dev.main(["--select", "int_nothing"]) == 1
    assert "int_nothing+ selects no model" in capsys.readouterr().err
    publication = diff.find(settings, None)
    with (
        session.private_copy(settings, publication),
        pytest.raises(session.DevError, match="another dbt-dev"),
        session.private_copy(settings, publication),
    ):
        pass


def test_a_row_leads_to_its_files_and_records(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a trail that ends before the file, forgets a corrected version, or names a wrong place."""
    with untouched(settings):
        assert trace.main(["--key", "t2"]) == 0
    said = capsys.readouterr().out

    assert "raw.transactions → staging.stg_transactions" in said and "→ marts.fct_transactions" in said
    assert "-30.00" in said and "-31.00" in said
    assert "Who the merchant is" in said
    landed = {line.split()[-1] for line in said.splitlines() if "as it was loaded" in line}
    assert len(landed) == 2
    lines = [Path(path).read_text().splitlines()[2] for path in landed]
    assert all(line.startswith("t2,") for line in lines), "record 2 is the second after the header"


def test_bytes_that_changed_since_are_told(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches evidence that is shown as sound although somebody has rewritten it."""
    shutil.copytree(settings.home, tmp_path / "home", symlinks=True)
    moved = settings.model_copy(update={"home": tmp_path / "home"})
    for content in moved.landing.rglob("content*"):
        content.chmod(0o640)
        content.write_text("id,customer,day,amount,text,mode\n")
    trace.trace_key(moved, diff.find(moved, None), "t2", 20)
    assert capsys.readouterr().out.count("CHANGED since it was loaded") == 2
    for content in moved.landing.rglob("content*"):
        content.unlink()
    trace.trace_key(moved, diff.find(moved, None), "t2", 20)
    assert capsys.readouterr().out.count("missing: restore a backup") == 2


def test_a_figure_is_the_sum_of_the_rows_listed(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a list that leaves rows out, counts a superseded version, or sums to almost the figure."""
    target = tmp_path / "rows.csv"
    wanted = "measure=spend client=bank month=2026-01"
    with untouched(settings):
        assert trace.main(["--figure", wanted, "--rows", "2", "--to", str(target)]) == 0
    said = capsys.readouterr().out
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert "4 rows of 2 files sum to exactly 52.25" in said
    assert sum(Decimal(row["amount"]) for row in rows) == Decimal("52.25")
    assert {(row["file"], row["record"]) for row in rows} == {
        ("cards_2026-01-05.csv", "1"),
        ("cards_2026-01-05.csv", "3"),
        ("cards_2026-01-06.csv", "1"),
        ("cards_2026-01-06.csv", "2"),
    }
    for row in rows:
        line = Path(row["landed at"]).read_text().splitlines()[int(row["record"])]
        assert f",-{Decimal(row['amount'])}".rstrip("0") in line
    assert "anna" not in said, "who it was is not asked"


def test_a_cell_of_a_mart_is_compared_with_its_rows(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a published number that is not the sum of the rows it is said to come from."""
    cell = "mart_customer_overview.spend_30d client=bank customer=anna"
    assert trace.main(["--figure", cell]) == 0
    said = capsys.readouterr().out
    assert "3 rows of 2 files sum to exactly 45.00" in said
    assert "Published: 45.00, the same" in said
    assert trace.main(["--figure", "agg_monthly.spend client=bank level=client month_start=2026-01-01"]) == 0
    assert "Published: 52.25, the same" in capsys.readouterr().out
    cohort = "client=bank signup_month=2026-01-01 month_start=2026-01-01"
    assert trace.main(["--figure", f"mart_cohorts.active_customers {cohort}"]) == 0
    said = capsys.readouterr().out
    assert "4 rows of 2 files sum to exactly 2.00" in said, "each customer counts once"


def test_a_cell_that_is_not_its_sum_is_told(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a trace that says `the same` whatever the mart says."""
    shutil.copytree(settings.home, tmp_path / "home", symlinks=True)
    moved = settings.model_copy(update={"home": tmp_path / "home"})
    publication = diff.find(moved, None)
    (publication / warehouse.FILE).chmod(0o640)
    with warehouse.connect(publication, read_only=False, settings=moved) as connection:
        connection.execute("update marts.mart_customer_overview set spend_30d = spend_30d + 0.01")
    cell = "mart_customer_overview.spend_30d client=bank customer=anna"
    assert not trace.trace_figure(moved, publication, cell, 20, None)
    assert "Published: 45.01, NOT the same" in capsys.readouterr().out


def test_a_customer_leads_to_the_money_and_the_files(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Catches a customer's page whose sums nobody can check."""
    assert trace.main(["--key", "bank/anna"]) == 0
    said = capsys.readouterr().out
    money = {
        line.split()[0]: line.split()[1:]
        for line in said.splitlines()
        if line.startswith(("spend_", "income_")) and line.rstrip().endswith("yes")
    }
    assert money["spend_30d"] == ["45.00", "3", "45.00", "yes"]
    assert money["income_90d"] == ["0.00", "3", "0.00", "yes"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to trace"),
        (["--key", "nobody"], "no published transaction, customer or score has this key"),
        (
            ["--figure", "measure=happiness"],
            "no measure is called happiness. There are: transactions, amount",
        ),
        (["--figure", "measure=spend planet=earth"], "has no column planet"),
        (["--figure", "measure=spend month=May"], "a period is day=2026-05-31"),
        (["--figure", "mart_customer_overview.churn_score client=bank"], "does not say of churn_score"),
        (
            ["--figure", "mart_portfolio.retention client=bank"],
            "is no sum of rows. Instead: retained_customers of the row and active_customers",
        ),
        (
            ["--figure", "mart_cohorts.spend client=none"],
            "no row of mart_cohorts fit; name its key: client_id, signup_month and its date",
        ),
        (
            ["--figure", "mart_customer_overview.spend_30d client=bank"],
            "several rows of mart_customer_overview fit",
        ),
        (["--figure", "mart_nothing.spend client=bank"], "no model is called mart_nothing"),
        (["--figure", "client=bank"], "give a measure"),
        (["--figure", "measure=spend 'client"], "a quote is left open"),
    ],
)
def test_what_cannot_be_traced_is_said(
    settings: Settings, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """Catches a traceback, or an empty page, where a person needs to know what to type."""
    assert trace.main(words) == 1
    assert message in capsys.readouterr().err


def test_the_documentation_is_one_page_about_columns_and_not_about_customers(settings: Settings) -> None:
    """Catches a page without columns, and values of customers in a file that is passed around."""
    with untouched(settings):
        page = docs.write(settings)
    text = page.read_text()
    assert page == settings.home / "docs" / "index.html"
    assert "mart_customer_overview" in text and "days_since_last_transaction" in text
    assert "CAFE SOL" not in text and "bank/anna" not in text
    assert not list(settings.home.glob(".docs-*"))


def test_a_row_that_is_not_published_yet_is_told(settings: Settings) -> None:
    """Catches `no such key` about a transaction that the next night will publish."""
    with duckdb.connect() as connection:
        connection.execute(
            "create schema raw; create table raw.transactions as"
            " select 'k' as transaction_key, 'i' as transaction_id, timestamp '2026-01-09' as known_at"
        )
        assert "the next night publishes it" in published.explain_absence(connection, "i")


def test_a_score_leads_to_its_model_features_and_files(
    built: Warehouse,
    copy_of: Callable[[Warehouse], Warehouse],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Catches a receipt that leads nowhere, or features that are another customer's."""
    scored = copy_of(built)
    scored.execute("update staging.stg_scores set receipt_id = 'r-' || entity_id")
    (scored.path / "manifest.json").write_text(json.dumps(scored.manifest))
    monkeypatch.setattr(trace.console, "_width", 200)
    known = scored.frame(
        f"""
        select count(*) as n, max(f.total_transactions) as total from intermediate.int_transactions as t
        join ops.as_of_dates as d on d.client_id = t.client_id and d.as_of_date = date '{LAST}'
        join features.features_customers as f
            on f.client_id = t.client_id and f.customer_id = t.customer_id and f.as_of_date = d.as_of_date
        where t.client_id = 'uk' and t.customer_id = 'C1' and t.business_date <= d.as_of_date
            and t.known_at < d.cutoff_at and (t.superseded_at is null or t.superseded_at >= d.cutoff_at)
        """
    )
    trace.trace_key(Settings(home=tmp_path, _env_file=None), scored.path, "r-C1", 5)
    said = capsys.readouterr().out

    assert "→ features.features_customers" in said
    assert "because of v1" in said
    assert f"{known.n[0]:,} transactions" in said and "were known then" in said
    features = {line.split()[0]: line.split()[-1] for line in said.splitlines() if line.startswith("total_")}
    assert float(features["total_transactions"].replace(",", "")) == known.total[0]


def test_each_cell_that_says_what_it_sums_is_that_sum(built: Warehouse) -> None:
    """Catches a `meta.sums` that no longer says how its mart is computed: a trace would list other rows."""
    project = built.manifest
    checked, proven = set(), set()
    with warehouse.connect(built.path) as connection:
        for node in project["nodes"].values():
            specs = sums.traced(project, node["name"]) if node["resource_type"] == "model" else {}
            if not specs:
                continue
            rows = lineage.records(connection, f"from {lineage.relation(project, node['name'])} order by all")
            for column, spec in specs.items():
                checked.add((node["name"], column))
                for row in rows[:: 1 + len(rows) // 100]:
                    figure = sums.of_row(project, node["name"], column, spec, row)
                    found = connection.execute(figure.total, figure.parameters).fetchone()
                    assert found is not None
                    assert found[1] == (figure.published or Decimal(0)), (node["name"], column, row)
                    if found[1]:
                        proven.add((node["name"], column))
    assert checked - proven == set(), "nothing but zeros was compared"
    assert {
        *(("mart_cash_flow", name) for name in ("inflow", "outflow", "investments", "net_savings")),
        *(("mart_cohorts", name) for name in ("active_customers", "spend", "revenue")),
        *(
            ("mart_portfolio", name)
            for name in ("active_customers", "retained_customers", "spend", "revenue")
        ),
        *(("agg_monthly", name) for name in ("customers", "transactions", "movements", "inflow", "outflow")),
    } <= checked


def test_each_amount_of_a_traced_mart_leads_back(built: Warehouse) -> None:
    """Catches an amount of money beside traced ones that says neither its rows nor what to trace instead."""
    silent = [
        f"{node['name']}.{name}"
        for node in built.manifest["nodes"].values()
        if node["resource_type"] == "model" and (node["config"].get("meta") or {}).get("sums_of")
        for name, column in node["columns"].items()
        if (column["data_type"] or "").startswith("decimal")
        and not {"sums", "counts", "instead"} & set((column.get("config") or {}).get("meta") or {})
    ]
    assert silent == []
