"""Draft a source contract from a sample, try it, or hand in a file.

`python -m nightledger.ingestion draft sample.csv` proposes a contract.
`python -m nightledger.ingestion check sources/x.yml sample.csv` shows what the sample would become and stores
nothing. `python -m nightledger.ingestion submit FILE --source X` checks a file and lands it; the next night
loads it. `python -m nightledger.ingestion pull --source X` asks the bank's server and lands its pages.
"""

import argparse
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import duckdb
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nightledger import operations
from nightledger.clients import load_clients
from nightledger.ingestion import extras, landing, loading
from nightledger.ingestion.contract import ContractError, SourceContract
from nightledger.ingestion.contract_files import load_contract
from nightledger.ingestion.drafts import drafting
from nightledger.ingestion.feeds import FEEDS
from nightledger.ingestion.messages import inert
from nightledger.ingestion.pulling import pulls
from nightledger.settings import Settings, SettingsError, read_settings

SHOWN = 5
FAR = datetime(9999, 1, 1)  # noqa: DTZ001 - the times of the warehouse have no zone

console = Console(highlight=False)


def check(settings: Settings, contract: SourceContract, file: Path) -> bool:
    """Load a file into memory and show what becomes of it; returns whether it would be taken."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        scratch = settings.model_copy(update={"home": Path(folder)})
        if settings.token_key is None:
            # Tokens of a check are thrown away with it; the installation's key stays where it is.
            (Path(folder) / "secrets").mkdir()
            (Path(folder) / "secrets" / "token.key").write_text("check")
        landing.land(scratch, file, contract, operations.clock())
        verdicts = loading.load(connection, scratch, [contract], {contract.client: FAR}, "check")
        verdict = verdicts[0]
        colour = "red" if verdict.verdict == "refused" else "green"
        would = "would be refused" if verdict.verdict == "refused" else "would be loaded"
        total = "" if verdict.amount_sum is None else f", sum of amounts {verdict.amount_sum:,}"
        console.print(
            f"[{colour}]{escape(inert(file.name))} {would}[/] by {contract.name}: "
            f"{verdict.records:,} records, {verdict.quarantined:,} in quarantine{total}"
        )
        if verdict.message:
            console.print(escape(verdict.message))
        if verdict.verdict == "loaded":
            for feed in contract.feeds:
                _show_feed(connection, contract, feed)
            _show_quarantine(connection)
        return verdict.verdict == "loaded"


def _show_feed(connection: duckdb.DuckDBPyConnection, contract: SourceContract, feed: str) -> None:
    source = f'raw."{extras.feed_table(contract, feed)}" as t'
    row = connection.execute(f"select count(*) from {source}").fetchone()  # noqa: S608 - checked names
    filled = set(contract.feeds[feed].columns) | {"business_date", "currency"}
    names = [name for name in FEEDS[feed].names if name in filled] + ["known_at"]
    beside = extras.extra_table(contract, feed)
    if contract.feeds[feed].extra and beside != extras.feed_table(contract, feed):
        source += f' join raw."{beside}" as x using (client_id, _load_id, _record)'
    columns = ", ".join(
        [*(f"t.{name}" for name in names), *(f'"{name}"' for name in contract.feeds[feed].extra)]
    )
    names += contract.feeds[feed].extra
    rows = connection.execute(f"select {columns} from {source} order by _record limit {SHOWN}").fetchall()  # noqa: S608
    table = Table(
        title=f"\n{feed}: {row[0] if row else 0:,} rows, the first {len(rows)}", title_justify="left"
    )
    for heading in ("", *(f"{number + 1}" for number in range(len(rows)))):
        table.add_column(heading, overflow="fold")
    for position, name in enumerate(names):
        table.add_row(
            name, *(escape("–" if value[position] is None else inert(str(value[position]))) for value in rows)
        )
    console.print(table)


def _show_quarantine(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute(
        "select feed, record, column_name, reason, shape from raw.quarantine order by record, feed limit 20"
    ).fetchall()
    if not rows:
        return
    table = Table(title="\nQuarantine: shapes, never values", title_justify="left")
    for heading in ("feed", "record", "column", "reason", "shape"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape("–" if value is None else inert(str(value))) for value in row))
    console.print(table)


def propose(settings: Settings, file: Path, client: str | None) -> None:
    """Write a proposed contract to standard output, and to standard error what to do with it."""
    clients = load_clients(settings)
    text = drafting.draft(file, clients, client)
    sys.stdout.write(text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "draft.yml"
        path.write_text(text)
        try:
            load_contract(path, clients)
        except ContractError as error:
            sys.stderr.write(f"\nNot complete yet:\n{error}\n")
            return
    sys.stderr.write(
        "\nSave it as sources/<name>.yml, look at every `# ?`, and try it:\n"
        f"python -m nightledger.ingestion check sources/<name>.yml {inert(file.name)}\n"
    )


def pull(settings: Settings, contract: SourceContract) -> None:
    """Land what a bank's server has that is new."""
    if contract.pull is None:
        raise ContractError(f"sources/{contract.name}.yml has no `pull`: its files come through the inbox")
    pages, records = pulls.pull(settings, contract, operations.clock)
    console.print(f"[green]Landed[/] {pages:,} pages with {records:,} records. The next night loads them.")


def submit(settings: Settings, contract: SourceContract, file: Path) -> bool:
    """Check a file and land it; returns whether it was landed."""
    if contract.pull is not None:
        raise ContractError(f"sources/{contract.name}.yml pulls its pages from a server; hand in no file")
    if not contract.matches(file.name):
        raise ContractError(
            f"{inert(file.name)}: does not match `files: {contract.files}` of sources/{contract.name}.yml; "
            "name the file as the bank does, or choose another --source"
        )
    if not check(settings, contract, file):
        console.print("[red]Not landed.[/]")
        return False
    if landing.land(settings, file, contract, operations.clock()):
        console.print("[green]Landed.[/] The next night loads it.")
    else:
        console.print("Landed before: nothing to do.")
    return True


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 when the file would be or was taken."""
    parser = argparse.ArgumentParser(prog="nightledger.ingestion", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    trying = commands.add_parser("check", help="show what a sample would become; stores nothing")
    trying.add_argument("contract", type=Path, help="a source contract, such as sources/x.yml")
    trying.add_argument("file", type=Path, help="a sample")
    drawing = commands.add_parser("draft", help="propose a contract for a sample, as YAML")
    drawing.add_argument("file", type=Path, help="a sample")
    drawing.add_argument("--client", help="name of a file in clients/; default: the first")
    handing = commands.add_parser("submit", help="check a file and land it")
    handing.add_argument("file", type=Path)
    handing.add_argument("--source", required=True, help="name of a contract in sources/")
    pulling = commands.add_parser("pull", help="ask a bank's server for what is new, and land it")
    pulling.add_argument("--source", required=True, help="name of a contract with `pull` in sources/")
    given = parser.parse_args(arguments)
    duckdb.execute("set enable_progress_bar = false")  # it would stand in the drafted contract
    try:
        settings = read_settings()
        if given.command == "draft":
            if not given.file.is_file():
                raise ContractError(f"{inert(str(given.file))}: no such file")
            propose(settings, given.file, given.client)
            return 0
        path = given.contract if given.command == "check" else settings.sources / f"{given.source}.yml"
        for needed in [path] if given.command == "pull" else [path, given.file]:
            if not needed.is_file():
                raise ContractError(f"{inert(str(needed))}: no such file")
        contract = load_contract(path, load_clients(settings))
        if given.command == "pull":
            pull(settings, contract)
            return 0
        done = (check if given.command == "check" else submit)(settings, contract, given.file)
    except (ContractError, pulls.PullError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
