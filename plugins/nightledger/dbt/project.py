"""dbt in this process: parse the project once, run it on a build, and let go of the build again."""

import gc
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nightledger.settings import Settings

WARNINGS = ("--log-level", "warn")
QUIET = ("--quiet", "--log-level", "none")


class DbtFailed(RuntimeError):
    """dbt could not build a node; trying again can help (`dbt retry` takes up the nodes that broke)."""


class Parsed(NamedTuple):
    """The project as dbt understands it."""

    manifest: Any
    """dbt's own object, which its runner takes."""
    text: str
    """The same as `manifest.json`."""


_parsed: dict[tuple[tuple[str, int, int], ...], Parsed] = {}
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
        self._manifest = parsed.manifest
        self.manifest: dict[str, Any] = json.loads(parsed.text)
        self.target.mkdir(exist_ok=True)
        (self.target / "manifest.json").write_text(parsed.text)

    def run(self, *words: str) -> Any:
        """Run a dbt command on the build; nobody has its warehouse open afterwards.

        Returns:
            dbt's result; of a command that runs nodes, `target/run_results.json` has it too.
        """
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.artifacts.schemas.run import RunExecutionResult

        _point_at(self._settings, self.build)
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
    signature = tuple(sorted((str(path), (is_ := path.stat()).st_mtime_ns, is_.st_size) for path in files))
    if signature not in _parsed:
        kept = settings.home / "dbt"
        kept.mkdir(parents=True, exist_ok=True)
        # The same path whatever home and build are meant: dbt parses everything again where its profile has
        # changed, in a restored home too.
        _point_at(settings, Path("parsed"))
        done = _invoke(settings, kept, [*flags, "parse"])
        if not done.success:
            raise DbtFailed(f"dbt cannot read its project: {done.exception}")
        _parsed[signature] = Parsed(done.result, (kept / "manifest.json").read_text())
        # It stays as long as the process: looking for garbage in it again and again takes a tenth of a night.
        gc.freeze()
    return _parsed[signature]


def _point_at(settings: Settings, build: Path) -> None:
    """Tell dbt's profile, which reads the environment, on which warehouse it works."""
    os.environ.update(
        NIGHTLEDGER_BUILD=str(build),
        NIGHTLEDGER_THREADS=str(settings.threads),
        NIGHTLEDGER_MEMORY_LIMIT=settings.memory_limit,
        DBT_SEND_ANONYMOUS_USAGE_STATS="false",
        DO_NOT_TRACK="1",
    )


def _invoke(settings: Settings, target: Path, words: Sequence[str], manifest: Any = None) -> Any:
    from dbt.cli.main import dbtRunner

    return dbtRunner(manifest=manifest).invoke(
        [
            *("--no-use-colors", "--log-path", str(settings.home / "logs" / "dbt")),
            # At "debug", dbt's default, a log of all statements takes a tenth of a night: `target` has them.
            *("--log-level-file", "info"),
            *words,
            *("--project-dir", str(settings.dbt_project), "--profiles-dir", str(settings.dbt_project)),
            *("--target-path", str(target)),
        ]
    )
