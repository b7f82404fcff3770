"""What was decided about models, and taking a champion back.

`python -m nightledger.governance.decisions list [--model churn]` prints who decided what, when and why.
`… demote MODEL --reason "why" [--to VERSION]` goes back to a version that has been champion before, from
the next as-of date on; `--to none` scores with nothing.
"""

import argparse
import getpass
import subprocess
import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nightledger import operations
from nightledger.governance import ledger as model_ledger
from nightledger.governance.demotion import demote
from nightledger.governance.ledger import Decision, GovernanceError
from nightledger.ingestion.messages import inert
from nightledger.settings import Settings, SettingsError, read_settings

console = Console(highlight=False)


def _print_decisions(settings: Settings, model: str) -> None:
    rows = model_ledger.decisions(settings, model)
    if not rows:
        console.print(f"Nothing has been decided about {model or 'any model'} yet.", markup=False)
        return
    table = Table(title="Decisions about models, newest last", title_justify="left", box=None, pad_edge=False)
    for heading in ("recorded (UTC)", "model", "version", "decision", "champion from then on", "by", "why"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape(inert(cell)) for cell in _cells(row)))
    Console(width=max(130, console.width)).print(table)


def _cells(row: Decision) -> tuple[str, ...]:
    since = f"{row['champion_after']} after {row['applies_after']}" if row["champion_after"] else "none"
    return (
        f"{row['recorded_at']:%Y-%m-%d %H:%M}",
        row["model"],
        row["version"] or "–",
        row["decision"].replace("_", " "),
        since,
        row["decided_by"],
        row["reason"],
    )


def _demote(settings: Settings, model: str, reason: str, to: str | None, by: str) -> None:
    done = demote(
        settings,
        model,
        reason=reason,
        by=by,
        run_id=f"demote/{operations.clock().isoformat()}",
        to=to,
        why_not=lambda version: _registry("check", model, version),
    )
    scoring = f"{done['champion_after']} scores" if done["champion_after"] else "nothing scores"
    console.print(
        f"[green]Recorded.[/] {escape(model)} {escape(str(done['version']))} is {done['decision']}; "
        f"{escape(scoring)} from the first night after {done['applies_after']} on. What is published stays."
    )
    standing = model_ledger.standing(model_ledger.decisions(settings, model))
    _registry("align", model, standing.champion or "", standing.challenger or "")


def _registry(*arguments: str) -> str:
    """What the registry says, which knows models and is no part of the platform.

    Raises:
        GovernanceError: it cannot be asked, or does not obey.
    """
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "ml.standing", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise GovernanceError(f"the registry failed to {arguments[0]} {arguments[1]}: {done.stderr.strip()}")
    return done.stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    """Take one order, or list what was decided; returns the exit code."""
    parser = argparse.ArgumentParser(prog="nightledger.governance.decisions", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="who decided what, when and why")
    listing.add_argument("--model", default="", help="only about this one")
    back = commands.add_parser("demote", help="go back to an earlier champion")
    back.add_argument("model")
    back.add_argument("--reason", default="", help="why; kept beside the decision")
    back.add_argument("--to", default="", help="version, or none; default: the champion before")
    back.add_argument("--by", default=None, help="who; default: the user of the system")
    given = parser.parse_args(arguments)
    try:
        settings = read_settings()
        if given.command == "list":
            _print_decisions(settings, given.model)
        else:
            if not given.model:
                raise GovernanceError('say which: make demote MODEL=churn REASON="..."')
            by = given.by or getpass.getuser()
            _demote(settings, given.model, given.reason, given.to or None, by)
    except (GovernanceError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
