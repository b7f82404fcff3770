"""The demo: a whole night through Airflow, on the simulated bank or on a folder of real files.

`run` makes the bank, loads two years of history, trains the models and runs three nights that score the four
month-ends that follow; real files get a history up to the day before the last and one night. A second `run`
changes nothing.
`next-night` adds one simulated day. `up` starts Airflow as an operator would. `report` and `sql` look at the
current publication. The Makefile calls these. `truth` writes what `make evaluate` takes as `CEILING=`.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from nightledger import ingestion, operations, report, report_models, warehouse
from nightledger.airflow import launcher
from nightledger.airflow.client import AirflowError
from nightledger.airflow.supervisor import LauncherError, read_state
from nightledger.governance import ledger
from nightledger.model_files import ModelFileError, model_files
from nightledger.settings import Settings, SettingsError, read_settings

CUSTOMERS = 2000
FIRST_DAY = date(2024, 4, 1)
DAYS = 821
NIGHTS = (date(2026, 4, 30), date(2026, 5, 31), date(2026, 7, 2))
"""Scored by models trained on the history before them. The last makes up for the month-end before it, and
knows who of the first one's customers has left within the 60 days that churn is about."""
SEED = 7
TRUTHS = {
    "churn": "churn",
    "credit": "default",
    "fraud": "fraud",
    "propensity_home_improvement": "purchase",
}
"""Models whose events the simulation knows the true probability of, and what it calls them."""
ALREADY_DONE = "Nothing to do: the demo is complete, and no file has been changed."

console = Console(highlight=False)
if not console.is_terminal:
    console.width = 120  # a log file or a pipe is wider than the default of 80


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


def run(settings: Settings) -> None:
    """Make or find the input, then history, training and the night of the last date."""
    started = time.monotonic()
    simulated = settings.inbox == settings.home / "inbox"
    state = _state_file(settings)
    done = json.loads(state.read_text()) if state.exists() else {}
    if done.get("finished"):
        report.show(settings, console, ceilings=_ceilings(settings), note=ALREADY_DONE)
        return
    if "last" not in done:
        done = {
            "last": (_simulate(settings, None) if simulated else _last_business_date(settings)).isoformat()
        }
        _write_state(settings, done)
    last = date.fromisoformat(done["last"])
    nights = NIGHTS if simulated else (last,)
    with _airflow(settings):
        if report.latest_as_of(settings) is None:
            before = NIGHTS[0].replace(day=1) if simulated else last
            _run_dag(settings, "history", {"as_of_date": (before - timedelta(days=1)).isoformat()})
        if ledger.last_decision(settings, report.MODEL) is None:
            _run_dag(settings, "train", {})
        for night in nights:
            published = report.latest_as_of(settings)
            if published is None or published < night:
                _run_dag(settings, "nightly", {"as_of_date": night.isoformat(), "month_ends": True})
    _write_state(settings, done | {"finished": True})
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    report.show(settings, console, ceilings=_ceilings(settings), note=f"Done in {minutes} min {seconds} s.")


def next_night(settings: Settings) -> None:
    """Add the day after the last simulated one and run its night."""
    state = _state_file(settings)
    if not state.exists() or not json.loads(state.read_text()).get("finished"):
        raise DemoError("there is no simulated bank here yet: `make demo` makes one")
    done = json.loads(state.read_text())
    if not (settings.home / "bank").exists():
        raise DemoError("this home holds real files, not the simulated bank: no day can be added to it")
    published = report.latest_as_of(settings)
    last = date.fromisoformat(done["last"])
    # A night that failed is run again before another day is added.
    day = last + timedelta(days=1) if published and published >= last else last
    _simulate(settings, day)
    _write_state(settings, done | {"last": day.isoformat()})
    with _airflow(settings):
        _run_dag(settings, "nightly", {"as_of_date": day.isoformat()})
    report.show(settings, console, ceilings=_ceilings(settings), note=f"The night of {day} is published.")


def up(settings: Settings) -> None:
    """Start Airflow with the schedule.

    The simulated bank sends files only when `next-night` is called, so its schedule starts today instead of
    catching up with yesterday.
    """
    if (settings.home / "bank").exists():
        os.environ.setdefault("NIGHTLEDGER_SCHEDULE_FROM", operations.clock().date().isoformat())
    launcher.up(settings)
    if (settings.home / "bank").exists():
        console.print(
            "The simulated bank sends files only with `make next-night`: until it sends one for the day, the "
            "scheduled night fails, names the missing source, and readers keep what they have."
        )
    console.print("`make status` tells how it is, `make down` stops it.")


def sql(settings: Settings) -> None:
    """Read statements from the terminal or standard input and print what the current publication answers."""
    import duckdb

    path = warehouse.publication_path(settings)
    if path is None:
        raise DemoError(f"nothing has been published in {settings.home} yet: `make demo` makes a first night")
    interactive = sys.stdin.isatty()
    if interactive:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - gives input() a history
        console.print(f"Publication {path.name}, read-only. For example: from marts.mart_customer_overview;")
        console.print("End a statement with ; and leave with Ctrl-D. `show all tables;` lists what there is.")
    with warehouse.connect(path, settings=settings) as connection:
        for text in _statements(interactive):
            try:
                for statement in connection.extract_statements(text):
                    relation = connection.sql(statement.query)
                    if relation is not None:
                        relation.show(max_rows=40)
            except duckdb.Error as error:
                console.print(str(error), style="red", markup=False)


def _statements(interactive: bool) -> Iterator[str]:
    buffer = ""
    while True:
        try:
            buffer += input(("   ...> " if buffer else "ledger> ") if interactive else "") + "\n"
        except EOFError:
            if buffer.strip():
                yield buffer
            return
        if buffer.rstrip().endswith(";"):
            yield buffer
            buffer = ""


def _simulate(settings: Settings, through: date | None) -> date:
    """Let the bank write its files up to a day (default: the last night's) and return that day."""
    last = through or NIGHTS[-1]
    bank = settings.home / "bank"
    with console.status("The bank writes its files …"):
        arguments = [
            *("--out", str(bank), "--customers", str(CUSTOMERS), "--seed", str(SEED)),
            *("--start", FIRST_DAY.isoformat(), "--days", str(DAYS), "--through", last.isoformat()),
            *("--clients", "neobank,wallet,lender"),
        ]
        started = time.monotonic()
        _python("simulation", "make", *arguments)
    inbox = settings.home / "inbox"
    if not inbox.exists():
        inbox.symlink_to("bank/files", target_is_directory=True)
    console.print(f"[green]✓[/] bank files up to {last} in {time.monotonic() - started:.1f} s")
    return last


def _python(module: str, *arguments: str) -> str:
    """Run a module in a process of its own: nothing of the product may see what the simulation knows."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and modules
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise DemoError(f"{module} failed:\n{done.stderr.strip()}")
    return done.stdout


def _ceilings(settings: Settings) -> report_models.Ceilings:
    """By model, what the simulated bank's truth reaches on the out-of-time rows of the version shown.

    Nothing of it is registered or published: it is kept beside the truth.
    """
    bank = settings.home / "bank"
    if not (bank / "truth").exists():
        return {}
    found = {}
    for model in TRUTHS:
        version = report_models.version_to_show(settings, model)
        predictions = settings.registry / "predictions" / model / f"{version}.parquet"
        if not predictions.exists():
            continue
        kept = bank / "ceilings" / model / f"{version}.json"
        if not kept.exists():
            with tempfile.TemporaryDirectory(prefix="nightledger-ceiling-") as aside:
                scores = Path(aside) / "true.parquet"
                write_truth(settings, model, predictions, scores)
                told = _python(
                    *("ml.scores.ceiling", model, "--predictions", str(predictions)),
                    *("--scores", str(scores)),
                )
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(".part")
            part.write_text(told)
            part.replace(kept)
        found[model] = json.loads(kept.read_text())
    return found


def write_truth(
    settings: Settings, model: str, predictions: Path, target: Path, judged_on: date | None = None
) -> None:
    """Write the rows of a model's predictions with the true probability of the event as their score.

    What the event is says the model's file: its horizon, delay and category.

    Args:
        settings: of the simulated bank's home.
        model: one of `TRUTHS`.
        predictions: Parquet with client_id, entity_id, customer_id, as_of_date, label and score.
        target: the file to write, Parquet.
        judged_on: labels are what was told by the end of this day, as an evaluation judges; default: the
            model's delay after each row, as a training does. It matters for frauds only: the other truths
            know what happened, whenever it was told.

    Raises:
        DemoError: there is no truth here, it does not know the rows or the event, or the target is called
            otherwise than Parquet.
    """
    truth = settings.home / "bank" / "truth"
    if not truth.exists():
        raise DemoError("this home holds real files, not the simulated bank: nobody knows the truth")
    if model not in TRUTHS:
        raise DemoError(f"no truth is told of {model}; there is one of {', '.join(TRUTHS)}")
    if target.suffix != ".parquet":
        raise DemoError(f"{target}: the truth is written as Parquet; give it a name that ends with .parquet")
    if not predictions.exists():
        raise DemoError(f"{predictions} is not there")
    asked = _asked_of_the_truth(settings, model, judged_on)
    banks = [f"demo_bank={truth}", f"demo_wallet={truth / 'wallet'}", f"demo_lender={truth / 'lender'}"]
    folders = [word for bank in banks for word in ("--truth", bank)]
    with tempfile.TemporaryDirectory(prefix="nightledger-truth-") as aside:
        if model == "fraud":
            predictions = _as_the_files_name_them(settings, predictions, Path(aside) / "rows.parquet")
        _python(
            *("simulation", "ceiling", "--task", *asked, *folders),
            *("--predictions", str(predictions), "--write", str(target)),
        )


def _asked_of_the_truth(settings: Settings, model: str, judged_on: date | None) -> tuple[str, ...]:
    """The simulation's name of a model's event and its windows, as the model's file has them."""
    try:
        said = model_files(settings.folders_of_models)[model].said()
    except ModelFileError as error:
        raise DemoError(str(error)) from error
    horizon, delay = said["label"]["horizon_days"], said["label"]["delay_days"]
    task = TRUTHS[model]
    match task:
        case "fraud" if judged_on is not None:
            return task, "--judged-on", judged_on.isoformat()
        case "fraud":
            return task, "--judged-after", str(delay)
        case "default":
            months = round(horizon * 12 / 365)
            if abs(horizon - months * 365 / 12) > 3:  # dues of another month would lie in the window
                raise DemoError(f"{model}: the truth knows whole months, and {horizon} days are none")
            return task, "--months", str(months)
        case "purchase":
            return task, "--category", str(said["parameters"]["category"]), "--days", str(horizon)
        case _:
            return task, "--days", str(horizon)


def _as_the_files_name_them(settings: Settings, predictions: Path, target: Path) -> Path:
    """Predictions of transactions with the ids that the files have: the truth knows no other."""
    path = warehouse.publication_path(settings)
    if path is None:
        raise DemoError("nothing is published")
    with warehouse.connect(path, settings=settings) as connection:
        connection.execute(
            """
            copy (
                select predictions.*, told.transaction_id, told.original_transaction_id
                from read_parquet($predictions) as predictions
                left join (
                    select transaction_key, max(transaction_id) as transaction_id,
                        max(original_transaction_id) as original_transaction_id
                    from staging.stg_transactions group by transaction_key
                ) as told on told.transaction_key = predictions.entity_id
            ) to $target (format parquet)
            """,
            {"predictions": str(predictions), "target": str(target)},
        )
    return target


def _last_business_date(settings: Settings) -> date:
    """Latest business date in the files of the inbox, found by loading them into memory once."""
    import duckdb

    contracts = ingestion.load_contracts(settings)
    with console.status(f"Reading {settings.inbox} …"):
        collected = ingestion.collect(settings, contracts, operations.clock())
        with duckdb.connect() as connection:
            ingestion.create_tables(connection)
            far = dict.fromkeys((contract.client for contract in contracts), datetime(9999, 1, 1))  # noqa: DTZ001
            ingestion.load(connection, settings, contracts, far, "demo")
            days = ingestion.business_days(connection)
    if days is None:
        raise DemoError(f"no record with a day could be read from {settings.inbox}. {collected.summary()}")
    console.print(f"[green]✓[/] {settings.inbox} holds records up to {days[1]}")
    return days[1]


@contextlib.contextmanager
def _airflow(settings: Settings) -> Iterator[None]:
    """Airflow for the time of the block; one that is up already is used and left alone."""
    state = read_state(settings)
    if state is not None and state.supervisor.is_alive():
        yield
        return
    # The demo's runs are triggered; what starts by itself belongs to `make up`.
    os.environ["NIGHTLEDGER_SCHEDULE"] = ""
    launcher.up(settings)
    try:
        yield
    finally:
        launcher.down(settings)


def _run_dag(settings: Settings, dag_id: str, conf: dict[str, Any]) -> None:
    result = launcher.trigger(settings, dag_id, conf)
    if result.state != "success":
        raise DemoError(
            f"{dag_id} failed in {result.failed_task} (see above). `make up` shows all of it. "
            "Mend the cause and call again: what is done is kept."
        )


def _state_file(settings: Settings) -> Path:
    return settings.home / "demo.json"


def _write_state(settings: Settings, content: dict[str, Any]) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    _state_file(settings).write_text(json.dumps(content))


def main() -> int:
    """Run a command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "next-night", "up", "report", "models", "sql"):
        commands.add_parser(name)
    truth = commands.add_parser("truth", help="the true probabilities of an evaluation's rows, for CEILING=")
    truth.add_argument("model", help=", ".join(TRUTHS))
    truth.add_argument("predictions", type=Path, help="predictions.parquet of the evaluation")
    truth.add_argument("to", type=Path, help="the file to write, .parquet")
    given = parser.parse_args()
    try:
        settings = read_settings()
        match given.command:
            case "run":
                run(settings)
            case "next-night":
                next_night(settings)
            case "up":
                up(settings)
            case "models":
                report_models.details(settings, console, _ceilings(settings))
            case "report":
                report.show(settings, console, ceilings=_ceilings(settings))
            case "sql":
                sql(settings)
            case "truth":
                write_truth(settings, given.model, given.predictions, given.to, report.latest_as_of(settings))
                console.print(f"Files: {given.to}", soft_wrap=True)
    except (DemoError, LauncherError, AirflowError, ingestion.ContractError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
