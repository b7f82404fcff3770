"""dbt in this process: parse the project once, run it on a build, and let go of the build again."""

import gc
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from nightledger.settings import Settings
from nightledger.warehouse import FILE

WARNINGS = ("--log-level", "warn")
QUIET = ("--quiet", "--log-level", "none")
CHOSEN = "chosen_for_this_command"
"""Tag of the nodes that a command is to run."""
NOT_BUILT = ("source", "exposure", "unit_test")
"""Unit tests judge the code, not the night's data: CI runs them. Exposures have nothing to build."""

LARGE = 500_000_000
"""A warehouse of more bytes when dbt begins is built one model at a time."""


class DbtFailed(RuntimeError):
    """dbt could not build a node; trying again can help (`dbt retry` takes up the nodes that broke)."""


class Parsed(NamedTuple):
    """The project as dbt understands it."""

    manifest: Any
    """dbt's own object, which its runner takes."""
    text: str
    """The same as `manifest.json`."""
    signature: str
    """Hash of the names, sizes and times of the files that were parsed."""


_parsed: dict[str, Parsed] = {}
"""What this process has parsed, by the project's files."""


class DbtProject:
    """The project, pointed at one build.

    Args:
        settings: of the installation.
        build: directory with the warehouse; its `target` gets what dbt writes.
        flags: what dbt tells, and how strict it is.

    Raises:
        DbtFailed: dbt cannot read the project; says why.
    """

    def __init__(
        self, settings: Settings, build: Path, flags: Sequence[str] = ("--log-level", "warn")
    ) -> None:
        self.build = build
        self.target = build / "target"
        self._settings, self._flags = settings, flags
        parsed = parse(settings, flags)
        self._manifest, self._signature = parsed.manifest, parsed.signature
        self.manifest: dict[str, Any] = json.loads(parsed.text)
        self.target.mkdir(exist_ok=True)
        (self.target / "manifest.json").write_text(parsed.text)

    def nodes_of(self, selector: str) -> list[str]:
        """Unique ids of the models, seeds and tests of the data that a selector of `selectors.yml` chooses.

        The project's files decide them, so they are kept beside the parse.
        """
        kept = self._settings.home / "dbt" / f"nodes_of_{selector}.json"
        if kept.exists():
            found = json.loads(kept.read_text())
            if found["signature"] == self._signature:
                return list(found["nodes"])
        kinds = [word for kind in NOT_BUILT for word in ("--exclude-resource-type", kind)]
        listing = ("ls", "--selector", selector, "--output", "json", "--output-keys", "unique_id", *kinds)
        nodes = [json.loads(line)["unique_id"] for line in self.run(*QUIET, *listing).result]
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({"signature": self._signature, "nodes": nodes}))
        part.replace(kept)
        return nodes

    def run_nodes(self, command: str, nodes: Collection[str], *words: str) -> Any:
        """Run a dbt command on these nodes and no others.

        dbt compares each name that it is told with each node of the project, four times over, which took a
        third of a small night: here it is told a tag.
        """
        with self._tagged(nodes):
            return self.run(command, "--select", f"tag:{CHOSEN}", "--indirect-selection", "empty", *words)

    @contextmanager
    def _tagged(self, nodes: Collection[str]) -> Iterator[None]:
        tagged = [self._manifest.nodes[name] for name in nodes]
        try:
            for node in tagged:
                node.tags.append(CHOSEN)
            yield
        finally:
            for node in tagged:
                node.tags.remove(CHOSEN)

    def run(self, *words: str) -> Any:
        """Run a dbt command on the build; nobody has its warehouse open afterwards.

        Returns:
            dbt's result; of a command that runs nodes, `target/run_results.json` has it too.
        """
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.artifacts.schemas.run import RunExecutionResult

        _point_at(self._settings, self.build, _models_at_once(self._settings, self.build))
        results = self.target / "run_results.json"
        results.unlink(missing_ok=True)
        try:
            words = (*self._flags, "--no-write-json", *words)
            done = _invoke(self._settings, self.target, words, self._manifest)
        finally:
            DuckDBConnectionManager.close_all_connections()
        if isinstance(done.result, RunExecutionResult):
            done.result.write(str(results))
        return done


def parse(settings: Settings, flags: Sequence[str] = WARNINGS) -> Parsed:
    """Parse the project, or take what was parsed of the same files: by this process, or the last one."""
    files = (path for path in settings.dbt_project.rglob("*.*") if path.is_file())
    state = sorted((str(path), (is_ := path.stat()).st_mtime_ns, is_.st_size) for path in files)
    signature = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    if signature not in _parsed:
        kept = settings.home / "dbt"
        kept.mkdir(parents=True, exist_ok=True)
        # The same path whatever home and build are meant: dbt parses everything again where its profile has
        # changed, in a restored home too.
        _point_at(settings, Path("parsed"), 1)
        done = _invoke(settings, kept, [*flags, "parse"])
        if not done.success:
            raise DbtFailed(f"dbt cannot read its project: {done.exception}")
        _parsed[signature] = Parsed(done.result, (kept / "manifest.json").read_text(), signature)
        # It stays as long as the process: looking for garbage in it again and again takes a tenth of a night.
        gc.freeze()
    return _parsed[signature]


def _models_at_once(settings: Settings, build: Path) -> int:
    """Models, and tests, that dbt runs side by side.

    Two keep both cores busy while small statements begin and end. A large statement uses them alone, and two
    of these share the memory, so that they spill (docs/reference/fifty-million.md).
    """
    if settings.dbt_threads:
        return settings.dbt_threads
    warehouse = build / FILE
    return 1 if warehouse.exists() and warehouse.stat().st_size > LARGE else 2


def _point_at(settings: Settings, build: Path, models_at_once: int) -> None:
    """Tell dbt's profile, which reads the environment, on which warehouse it works."""
    os.environ.update(
        NIGHTLEDGER_BUILD=str(build),
        NIGHTLEDGER_THREADS=str(settings.threads),
        NIGHTLEDGER_MEMORY_LIMIT=settings.memory_limit,
        NIGHTLEDGER_MODELS_AT_ONCE=str(models_at_once),
        DBT_SEND_ANONYMOUS_USAGE_STATS="false",
        DO_NOT_TRACK="1",
    )


def _invoke(settings: Settings, target: Path, words: Sequence[str], manifest: Any = None) -> Any:
    from dbt.cli.main import dbtRunner

    return dbtRunner(manifest=manifest).invoke(
        [
            *("--no-use-colors", "--log-path", str(settings.home / "logs" / "dbt")),
            # What waits for which test: found in a tenth of the time, with the same order of nodes.
            "--use-fast-test-edges",
            # At "debug", dbt's default, a log of all statements takes a tenth of a night: `target` has them.
            *("--log-level-file", "info"),
            *words,
            *("--project-dir", str(settings.dbt_project), "--profiles-dir", str(settings.dbt_project)),
            *("--target-path", str(target)),
        ]
    )
