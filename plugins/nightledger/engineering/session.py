"""dbt on a private copy of a publication."""

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightledger import ingestion, warehouse
from nightledger.dbt import runner
from nightledger.dbt.project import QUIET, DbtProject
from nightledger.night import plan
from nightledger.settings import Settings

COPIES = 3
"""A build needs room for the copy, for what it writes anew, and for what spills."""


class DevError(RuntimeError):
    """The models cannot be built; the message says why and what to do."""


@dataclass(frozen=True)
class Node:
    """What dbt did with one node."""

    unique_id: str
    schema: str
    name: str
    status: str
    seconds: float
    message: str
    failures: int | None

    @property
    def kind(self) -> str:
        """`model`, `seed`, `test` or `unit_test`."""
        return self.unique_id.partition(".")[0]


@contextlib.contextmanager
def private_copy(settings: Settings, publication: Path) -> Iterator[Path]:
    """A writable copy of a publication; nobody else builds meanwhile.

    It is the last night over again: the same dates, the same touched days, and a lake without new scores.

    Raises:
        DevError: another build is going on, or the disk is too full.
    """
    folder = settings.home / "dev"
    folder.mkdir(exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DevError(f"another dbt-dev works in {folder}; wait for it, or use another home") from error
        for old in folder.glob("*/"):
            shutil.rmtree(old)
        source = publication / warehouse.FILE
        needed = COPIES * source.stat().st_size
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise DevError(
                f"{folder} has {free / 1e9:.1f} GB free and a build needs {needed / 1e9:.1f}: make room"
            )
        build = folder / publication.name
        build.mkdir()
        shutil.copyfile(source, build / warehouse.FILE)
        warehouse.empty_lake(build)
        with warehouse.connect(build, read_only=False, settings=settings) as connection:
            ingestion.create_tables(connection)
            plan.create_tables(connection)
        yield build


def selection(select: str) -> list[str]:
    """What dbt is told to select: what was named and its children; else what differs from the publication."""
    words = select.split() or ["state:modified"]
    return [word if "+" in word or "@" in word else f"{word}+" for word in words]


class Session:
    """dbt on one private copy.

    Args:
        settings: of the installation.
        build: the copy.
        publication: what it was copied from.
    """

    def __init__(self, settings: Settings, build: Path, publication: Path) -> None:
        # What the publication was built by.
        self.state = build / "state"
        self.state.mkdir()
        shutil.copyfile(publication / "manifest.json", self.state / "manifest.json")
        self._project = DbtProject(settings, build, QUIET)
        self.manifest = self._project.manifest
        self.changed = runner.changed_definitions(build, self.manifest, settings)

    def build(self, chosen: list[str]) -> list[Node]:
        """Build the chosen models and seeds; whole where a definition has changed, as a night does."""
        kinds = ["--resource-type", "model", "--resource-type", "seed"]
        if not self.changed:
            return self.run("build", chosen, *kinds)
        # What says which dates are built names all of them meanwhile, and the last night's when compared.
        dates = [
            unique_id
            for unique_id, node in self.manifest["nodes"].items()
            if "flags.FULL_REFRESH" in node.get("raw_code", "")
        ]
        if dates:
            self.run("run", [self._name(unique_id) for unique_id in dates], "--full-refresh")
        nodes = self.run("build", chosen, *kinds, "--full-refresh")
        if dates:
            built = {node.unique_id for node in nodes if node.status == "success"}
            again = [unique_id for unique_id in self._tables_of_dates(dates) if unique_id in built]
            self.run("run", [self._name(unique_id) for unique_id in (*dates, *again)])
        return nodes

    def _name(self, unique_id: str) -> str:
        name: str = self.manifest["nodes"][unique_id]["name"]
        return name

    def _tables_of_dates(self, dates: list[str]) -> list[str]:
        """Tables that hold the dates to build and nothing else: what is built in parts keeps all of them."""
        queue, found = list(dates), []
        seen = set(queue)
        while queue:
            for child in self.manifest["child_map"].get(queue.pop(), []):
                node = self.manifest["nodes"].get(child)
                if child in seen or node is None or node["resource_type"] != "model":
                    continue
                seen.add(child)
                kind = node["config"]["materialized"]
                if kind != "incremental":
                    queue.append(child)
                if kind == "table":
                    found.append(child)
        return found

    def run(self, command: str, chosen: list[str], *others: str) -> list[Node]:
        """Run `build` or `test` on what is chosen.

        Raises:
            DevError: dbt did not get to work, such as for a name that it does not know.
        """
        done = self._project.run(command, "--select", *chosen, *others, "--state", str(self.state))
        results = self._project.target / "run_results.json"
        if not results.exists():
            if done.exception is None:
                return []
            raise DevError(f"dbt {command} could not begin: {done.exception}")
        listed = json.loads(results.read_text())["results"]
        return [self._node(row) for row in listed]

    def _node(self, row: dict[str, Any]) -> Node:
        known = self.manifest["nodes"].get(row["unique_id"], {})
        return Node(
            row["unique_id"],
            known.get("schema", ""),
            known.get("alias") or known.get("name") or row["unique_id"].split(".", 2)[2],
            row["status"],
            row["execution_time"],
            (row["message"] or "").strip(),
            row["failures"],
        )
