"""A night is one transaction: copy the last publication, build and test the copy, publish it or leave it.

The steps, in order: `take_lock`, `open_night`, `ingest`, `run_dbt` (merchants), `enrich`, `run_dbt`
(features), scoring (package `ml`), `run_dbt` (marts), `audit`, `publish`. Each can be repeated by its run.
"""

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from nightledger import cases, ingestion, operations, publications, revision, warehouse
from nightledger.clients import Client, load_clients
from nightledger.dbt import runner
from nightledger.ingestion import holds, removal
from nightledger.merchants import releases
from nightledger.monitoring import deadlines
from nightledger.night import audit as auditing
from nightledger.night import completion, lock, plan, waiting
from nightledger.night.lock import Night, NightError
from nightledger.settings import Settings

log = logging.getLogger(__name__)


class TooEarly(NightError):
    """The cutoff of the night's date has not passed yet."""


def take_lock(settings: Settings, run_id: str, is_alive: Callable[[str], bool]) -> bool:
    """Make `run_id` the one night that is open; see `nightledger.night.lock.take`."""
    return lock.take(settings, run_id, is_alive)


def may_begin(settings: Settings, as_of_date: date, run_id: str, *, month_ends: bool = False) -> bool:
    """Whether the night of a date has what it waits for; lands what lies in the inbox, so that it can tell.

    What `run_id` waits for is kept in the operational database, and that it waited in vain.

    Returns:
        False while a client's cutoff or a file with a deadline is waited for; see `night.waiting`.

    Raises:
        nightledger.night.plan.RequiredSourceMissing: a required source has missed its deadline.
    """
    published = _horizon(settings, publications.current_id(settings))
    if published is not None and as_of_date <= published:
        return True
    contracts = ingestion.load_contracts(settings)
    now = operations.clock()
    ingestion.collect(settings, contracts, now)
    dates = plan.dates_of_night(as_of_date, published, month_ends=month_ends)
    try:
        awaited = waiting.awaited(settings, contracts, _served_clients(settings), dates, now)
    except plan.RequiredSourceMissing:
        operations.note_wait(settings, run_id, as_of_date, "files whose deadline has passed")
        with operations.stage(settings, run_id, "wait_for_sources"):
            raise
    if awaited:
        operations.note_wait(settings, run_id, as_of_date, "; ".join(awaited))
    return not awaited


def current_night(settings: Settings, run_id: str) -> Night:
    """The night that `run_id` has open.

    Raises:
        NightError: another run holds the lock, none does, or the night is not open yet.
    """
    night = lock.pinned(settings, run_id)
    if night is None:
        raise NightError(f"{run_id} holds the lock but has not opened its night; the step `open` comes first")
    return night


def current_build(settings: Settings, run_id: str) -> Path:
    """Stable path of the build that `run_id` has open."""
    current_night(settings, run_id)
    return settings.builds / "open"


def open_night(
    settings: Settings,
    run_id: str,
    as_of_date: date,
    kind: str,
    *,
    force: bool = False,
    full_tests: bool = False,
    month_ends: bool = False,
    since: date | None = None,
) -> dict[str, Any] | None:
    """Copy the current publication and pin what the night uses.

    Args:
        settings: of the installation.
        run_id: holder of the lock.
        as_of_date: the business date D that the night is for.
        kind: `nightly` or `history`.
        force: build the night even if D is published and no new file has arrived.
        since: of a `history`, the first date whose month-end is built; default: the first business date.
        full_tests: let dbt's tests read whole tables, whatever day it is; see `plan.tests_are_full`.
        month_ends: of the dates since the last publication, build only month-ends and D.

    Returns:
        The pinned facts, or None when there is nothing to do; then the lock is free again.

    Raises:
        TooEarly: a client's cutoff for D has not passed.
        NightError: the lock is not ours, or the disk is too full.
    """
    with operations.stage(settings, run_id, "open") as detail:
        base = lock.base_of(settings, run_id)
        night = lock.pinned(settings, run_id)
        if night is None:
            if base:
                publications.verify(settings, base)
            reason = None if force else _nothing_to_do(settings, base, as_of_date, kind)
            _refuse_early(settings, as_of_date)
            if reason:
                detail["nothing_to_do"] = reason
                log.info("nothing to do: %s", reason)
                lock.release(settings, run_id)
                return None
            published = _horizon(settings, base)
            night = Night(
                run=run_id,
                kind=kind,
                night_of=as_of_date.isoformat(),
                base=base,
                publication_id=publications.next_id(settings, max(as_of_date, published or as_of_date)),
                code_revision=revision.of(settings),
                since=since.isoformat() if since else None,
                full_tests=full_tests or plan.tests_are_full(kind, as_of_date, published),
                month_ends=month_ends,
            )
            lock.pin(settings, night)
        build = settings.builds / f"{night.publication_id}.building"
        sealed = settings.builds / night.publication_id
        if sealed.exists() and publications.current_id(settings) == sealed.name:
            publications.ensure_logged(settings, sealed)
            _end(settings, run_id)
            detail["nothing_to_do"] = f"{run_id} had already published {sealed.name}"
            return None
        if not build.exists():
            if sealed.exists():  # died before the pointer moved: nobody has seen it
                publications.remove(sealed)
            _copy(settings, night, build)
        publications.point(settings, "open", build.name)
        detail.update(asdict(night))
    return asdict(night)


def _nothing_to_do(settings: Settings, base: str | None, as_of_date: date, kind: str) -> str | None:
    """Why this night would change nothing, or None when it would."""
    horizon = _horizon(settings, base)
    if base is None or horizon is None or as_of_date > horizon:
        return None
    contracts = ingestion.load_contracts(settings)
    ingestion.collect(settings, contracts, operations.clock())
    at = waiting.cutoffs(settings, contracts, _served_clients(settings), [horizon])
    cutoffs = {name: moment for (name, _), moment in at.items()}
    with warehouse.connect(settings.builds / base, settings=settings) as connection:
        orders = holds.orders_for(settings, connection)
        if holds.is_waiting(connection, orders):
            return None
        if ingestion.has_pending(connection, settings, contracts, cutoffs, orders):
            return None
    return f"{kind} night of {as_of_date} is published in {base} and no new file has arrived"


def _served_clients(settings: Settings) -> dict[str, Client]:
    """Clients that have a source contract, in order."""
    clients = load_clients(settings)
    return {name: clients[name] for name in sorted({c.client for c in ingestion.load_contracts(settings)})}


def _refuse_early(settings: Settings, as_of_date: date) -> None:
    contracts = ingestion.load_contracts(settings)
    cutoffs = waiting.cutoffs(settings, contracts, _served_clients(settings), [as_of_date])
    latest, client_id = max((at, name) for (name, _), at in cutoffs.items())
    if operations.clock() < latest:
        raise TooEarly(
            f"the night of {as_of_date} cannot start before {latest} UTC, the cutoff of client {client_id}: "
            "what will be known by then would be missing. Start it again after that"
        )


def _horizon(settings: Settings, base: str | None) -> date | None:
    """Latest as-of date of a publication."""
    if base is None:
        return None
    return date.fromisoformat(publications.describe(settings.builds / base)["as_of_date"])


def _copy(settings: Settings, night: Night, build: Path) -> None:
    """Make the build beside its place and rename it there whole."""
    _check_disk(settings, night.base)
    part = build.with_suffix(".part")
    if part.exists():
        publications.remove(part)
    part.mkdir()
    if night.base:
        _copy_warehouse(settings, night, part / warehouse.FILE)
    warehouse.empty_lake(part)
    operations.open_run(
        settings,
        night.run,
        kind=night.kind,
        as_of_date=date.fromisoformat(night.night_of),
        base=night.base,
        publication_id=night.publication_id,
        code_revision=night.code_revision,
    )
    with warehouse.connect(part, read_only=False, settings=settings) as connection:
        ingestion.create_tables(connection)
        plan.create_tables(connection)
        connection.execute("delete from ops.touched_days; delete from ops.changed_facts")
        based_on = plan.note_base(connection)
        if based_on is not None:
            operations.take_up_corrections(settings, based_on)
            cases.take_up(settings, connection)
        deadlines.record(settings, date.fromisoformat(night.night_of))
        operations.snapshot(settings, connection)
    part.rename(build)


def _check_disk(settings: Settings, base: str | None) -> None:
    usage = shutil.disk_usage(settings.builds)
    needed = 3 * (settings.builds / base / warehouse.FILE).stat().st_size if base else 0
    if usage.free - needed < settings.min_free_share * usage.total:
        raise NightError(
            f"not enough disk for a night: {usage.free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed, and "
            f"{settings.min_free_share:.0%} of the disk must stay free (NIGHTLEDGER_MIN_FREE_SHARE). "
            "Make room and run the night again."
        )


def _copy_warehouse(settings: Settings, night: Night, target: Path) -> None:
    """Byte copy of the published file; the first night of a month rewrites it, which gives space back."""
    source = settings.builds / str(night.base) / warehouse.FILE
    horizon = _horizon(settings, night.base)
    if horizon and horizon.replace(day=1) < date.fromisoformat(night.night_of).replace(day=1):
        with warehouse.connect(source, settings=settings) as connection:
            literal = str(target).replace("'", "''")
            connection.execute(f"attach '{literal}' as compacted ({warehouse.STORAGE})")
            connection.execute("copy from database warehouse to compacted")
    else:
        shutil.copyfile(source, target)
    target.chmod(0o640)


def ingest(settings: Settings, run_id: str) -> dict[str, Any]:
    """Load what has arrived before the cutoff and fix tonight's as-of dates and model versions.

    Raises:
        nightledger.night.plan.RequiredSourceMissing: names the source; nothing is published without it.
        NightError: there is no data at all.
    """
    night = current_night(settings, run_id)
    night_of = date.fromisoformat(night.night_of)
    published = _horizon(settings, night.base)
    horizon = max(night_of, published or night_of)
    with operations.stage(settings, run_id, "ingest") as detail:
        contracts = ingestion.load_contracts(settings)
        clients = _served_clients(settings)
        pulled = ingestion.pull_all(settings, contracts, night_of, operations.clock)
        plan.require_pulled(pulled, night_of)
        collected = ingestion.collect(settings, contracts, operations.clock())
        at = waiting.cutoffs(settings, contracts, clients, [horizon])
        cutoffs = {name: moment for (name, _), moment in at.items()}
        build = current_build(settings, run_id)
        with warehouse.connect(build, read_only=False, settings=settings) as connection:
            orders = holds.orders_for(settings, connection)
            verdicts = holds.apply(connection, settings, contracts, orders)
            verdicts += ingestion.load(connection, settings, contracts, cutoffs, run_id, orders)
            holds.finish(connection, settings, orders)
            operations.record_files(settings, run_id, [verdict.as_dict() for verdict in verdicts])
            if published is not None:
                removal.note_facts(connection, _loaded_by(settings, run_id))
            if ingestion.business_days(connection) is None:
                refused = "; ".join(verdict.message for verdict in verdicts if verdict.verdict == "refused")
                raise NightError(
                    "no record with a day has been loaded: there is nothing to publish. Inbox: "
                    f"{settings.inbox}. {collected.summary()} {refused}".strip()
                )
            if night.kind == "history":
                since = date.fromisoformat(night.since) if night.since else None
                tonight = plan.dates_of_history(connection, night_of, since)
            else:
                tonight = plan.dates_of_night(night_of, published, month_ends=night.month_ends)
            at = waiting.cutoffs(settings, contracts, clients, tonight)
            used = plan.write_dates(connection, at, tonight, clients)
            again = plan.add_filled_gaps(connection)
            touched = ingestion.update_coverage(connection, contracts)
            late = [] if night.kind == "history" else plan.late_sources(connection, contracts, tonight)
            # Not before the sources are there: a file that is still to come may move a cutoff.
            operations.fix_cutoffs(settings, used)
            pins = plan.pin_models(connection, settings) if night.kind == "nightly" else 0
        detail.update(
            **_count(operations.file_verdicts(settings, run_id)),
            late=sorted({*late, *(report.name for report in pulled if report.is_late)}),
            pulls={report.contract.name: report.message or report.pages for report in pulled},
            as_of_dates=f"{len(tonight)}, {tonight[0]} to {tonight[-1]}",
            filled_gaps=[str(day) for day in again],
            pinned_models=pins,
            touched_days=touched,
        )
        log.info("ingest: %s", detail)
    return detail


def _loaded_by(settings: Settings, run_id: str) -> list[str]:
    """Loads of a run, over all its tries."""
    verdicts = operations.file_verdicts(settings, run_id)
    return [row["load_id"] for row in verdicts if row["verdict"] == "loaded"]


def _count(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """Files by verdict, records and quarantined records of a run, over all its tries."""
    files: dict[str, int] = {}
    for row in verdicts:
        files[row["verdict"]] = files.get(row["verdict"], 0) + 1
    loaded = [row for row in verdicts if row["verdict"] == "loaded"]
    return {
        "files": files,
        "records": sum(row["records"] for row in loaded),
        "quarantined": sum(row["quarantined"] for row in loaded),
    }


def run_dbt(settings: Settings, run_id: str, selector: str, *, resume: bool = False) -> dict[str, Any]:
    """Build one selector of the dbt project on the open night; see `nightledger.dbt.runner.build`."""
    night = current_night(settings, run_id)
    build = current_build(settings, run_id)
    with operations.stage(settings, run_id, f"dbt_{selector}") as detail:
        built = runner.build(settings, run_id, selector, build, resume=resume, full_tests=night.full_tests)
        detail.update(built)
    return detail


def enrich(settings: Settings, run_id: str) -> dict[str, Any]:
    """Find the nearest brands of merchants that SQL left unresolved; see `nightledger.merchants.nearest`."""
    from nightledger.merchants import nearest  # scikit-learn takes a second to import

    build = current_build(settings, run_id)
    with operations.stage(settings, run_id, "enrich") as detail:
        with warehouse.connect(build, read_only=False, settings=settings) as connection:
            detail.update(asdict(nearest.resolve_nearest(connection)))
        log.info("enrich: %s", detail)
    return detail


def audit(settings: Settings, run_id: str) -> dict[str, Any]:
    """Run the audit on the open night and keep its evidence; see `nightledger.night.audit`.

    Raises:
        nightledger.night.audit.AuditFailed: a check of severity `error` found violations.
    """
    build = current_build(settings, run_id)
    with operations.stage(settings, run_id, "audit") as detail:
        with warehouse.connect(build, read_only=False, settings=settings) as connection:
            operations.snapshot(settings, connection)
            results = auditing.run_checks(connection, run_id)
        operations.record_audit(settings, run_id, results)
        (build / "audit.json").write_text(json.dumps({"run": run_id, "checks": results}, indent=1))
        auditing.raise_for(results)
        detail.update(auditing.summarise(results))
    return detail


def publish(settings: Settings, run_id: str) -> dict[str, Any]:
    """Make the audited build the publication that everybody reads.

    Raises:
        NightError: the run has no night open, or it has not been audited.
        nightledger.night.audit.AuditFailed: the audit has not passed.
        nightledger.publications.PublicationError: the base is no longer the current publication.
    """
    published = publications.published_by(settings, run_id)
    if published and lock.holder(settings) != run_id:
        return {"publication_id": published}
    night = current_night(settings, run_id)
    with operations.stage(settings, run_id, "publish") as detail:
        build = settings.builds / f"{night.publication_id}.building"
        if build.exists():
            audited = build / "audit.json"
            if not audited.exists():
                raise NightError(
                    f"{night.publication_id} has not been audited; `audit` comes before `publish`"
                )
            auditing.raise_for(json.loads(audited.read_text())["checks"])
            releases.keep_closed(settings, run_id, build)
            completion.complete(settings, night, build)
        final = publications.seal(settings, night.publication_id, night.base)
        publications.ensure_logged(settings, final)
        detail.update(
            publication_id=final.name,
            content_hash=publications.describe(final)["content_hash"],
            pruned=publications.prune(settings, run_id),
        )
    _end(settings, run_id)
    return detail


def _end(settings: Settings, run_id: str) -> None:
    operations.end_run(settings, run_id, "published")
    lock.release(settings, run_id)
