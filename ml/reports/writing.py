"""Write the reports of a publication: a folder that is there whole or not at all, and that nothing changes.

`python -m ml.reports.writing [--publication ID]` does by hand what the DAG `reports` does after each
publication.
"""

import argparse
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from ml import config, scopes
from ml.datasets import Publication, read_publication
from ml.features import DatasetError
from ml.partitions import Pin
from ml.registry import Registry, RegistryError
from ml.reports import drawing, of_others, of_scores
from ml.reports.comparisons import MOST_ROWS, TITLES, Absent, Comparison, Subject
from nightledger import drift_reports, warehouse
from nightledger.settings import Settings, SettingsError, read_settings

log = logging.getLogger(__name__)

_FAMILIES: Mapping[str, Callable[[Subject], Iterator[Comparison | Absent]]] = {
    "scores": of_scores.compare,
    "segments": of_others.compare_segments,
    "lifetime_value": of_others.compare_values,
    "forecasts": of_others.compare_forecasts,
    "goals": of_others.compare_life_events,
}


def write(settings: Settings, publication_id: str | None = None, most: int = MOST_ROWS) -> dict[str, Any]:
    """Draw the reports of every champion that worked on a publication, unless they are there.

    Args:
        settings: of the installation.
        publication_id: what is read; default: the current one. Nothing else is, but for the archive of what
            the night's models said and the registry.
        most: rows of a report at most.

    Returns:
        What `reports.json` says; see `nightledger.drift_reports`.

    Raises:
        ml.features.DatasetError: the publication is gone.
        ml.registry.RegistryError: a version is gone or was changed.
    """
    publication = read_publication(settings, publication_id)
    known = drift_reports.index(settings, publication.id)
    if known is not None:
        return known
    description = json.loads((publication.path / "publication.json").read_text())
    target = drift_reports.folder(settings, publication.id)
    with _whole(target) as part:
        entries: list[dict[str, Any]] = []
        for subject in _subjects(settings, publication, description["models"], most):
            for one in _FAMILIES[subject.described.family](subject):
                if isinstance(one, Comparison) and one.too_few:
                    one = Absent(one.kind, one.too_few)
                entries.append(
                    _entry(subject, one)
                    | (_written(part, subject, one) if isinstance(one, Comparison) else {})
                )
            subject.connection.close()
        content = {
            "publication": publication.id,
            "as_of_date": publication.as_of_date.isoformat(),
            "nothing": "" if entries else "No model worked on this publication.",
            "reports": entries,
        }
        (part / drift_reports.INDEX).write_text(json.dumps(content, indent=1))
    return content


def _subjects(
    settings: Settings, publication: Publication, models: list[dict[str, str]], most: int
) -> Iterator[Subject]:
    """The champions of a publication, each with the last date that it worked on."""
    registry = Registry(settings) if models else None
    last = {
        (row["model"], row["version"]): date.fromisoformat(row["as_of_date"])
        for row in sorted(models, key=lambda row: row["as_of_date"])
        if row["role"] == "champion"
    }
    newest = {model: max(day for (name, _), day in last.items() if name == model) for model, _ in last}
    for (model, version), day in sorted(last.items()):
        if day != newest[model] or registry is None:
            continue
        pin = Pin(model, day, version, "champion")
        connection = warehouse.connect(publication.path, settings=settings)
        found = connection.execute(
            "select min(as_of_date) from ops.model_pins where model = ? and model_version = ?",
            [model, version],
        ).fetchone()
        yield Subject(
            settings=settings,
            connection=connection,
            publication=publication,
            registry=registry,
            pin=pin,
            described=scopes.named(settings, config.read(pin.name), pin.member),
            versions_first=found[0] if found and found[0] else day,
            most=most,
        )


def _entry(subject: Subject, one: Comparison | Absent) -> dict[str, Any]:
    return {
        "model": subject.pin.model,
        "version": subject.pin.version,
        "as_of_date": subject.pin.as_of_date.isoformat(),
        "kind": one.kind,
        "title": TITLES[one.kind],
        "why_not": one.why if isinstance(one, Absent) else "",
    }


def _written(part: Path, subject: Subject, one: Comparison) -> dict[str, Any]:
    """Draw and write one report; returns what the index says of it."""
    pin = subject.pin
    about = {
        "Model": f"{pin.model}, version {pin.version}",
        "Publication": f"{subject.publication.id}, what was known until {subject.publication.known_at} UTC",
    }
    drawn = drawing.draw(
        one, f"{TITLES[one.kind]} · {pin.model} · {pin.as_of_date}", about, _midnight(pin.as_of_date)
    )
    place = part / pin.model
    place.mkdir(exist_ok=True)
    for suffix, content in (("html", drawn.html), ("json", drawn.json)):
        (place / f"{one.kind}.{suffix}").write_text(content, encoding="utf-8")
    (place / f"{one.kind}{drift_reports.SNAPSHOT}").write_bytes(drawn.snapshot)
    script = part.parent / drawn.script_name
    if not script.exists():
        unfinished = script.with_suffix(f".{os.getpid()}")
        unfinished.write_text(drawn.script, encoding="utf-8")
        unfinished.replace(script)
    log.info("%s of %s: %s", one.kind, pin.model, drawn.headline)
    return {
        "rows": len(one.current),
        "reference_rows": len(one.reference),
        "headline": drawn.headline,
        "drifted": drawn.drifted,
        "compared": drawn.compared,
        "left_out": list(drawn.left_out),
        "bytes": len(drawn.html.encode()),
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when all was written."""
    part = target.with_name(f"{target.name}{drift_reports.UNFINISHED}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    part.rename(target)


def main(arguments: list[str] | None = None) -> int:
    """Write the reports; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ml.reports.writing", description=__doc__)
    parser.add_argument("--publication", help="its id; default: the current one")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = read_settings()
        written = write(settings, asked.publication or None)
    except (DatasetError, RegistryError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    drawn = [row for row in written["reports"] if not row["why_not"]]
    where = drift_reports.folder(settings, written["publication"])
    sys.stdout.write(f"{len(drawn)} reports of {written['publication']}: {where}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
