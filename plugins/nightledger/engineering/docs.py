"""dbt's documentation of every model and column as one page: `python -m nightledger.engineering.docs`.

Types and sizes come from the current publication, by way of a private copy; before the first one, from the
project alone.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from nightledger import ingestion, warehouse
from nightledger.dbt.project import DbtFailed, DbtProject
from nightledger.settings import Settings, SettingsError, read_settings

PAGE = "static_index.html"


def write(settings: Settings) -> Path:
    """Write the page to `<home>/docs/index.html` and return its path.

    Raises:
        nightledger.dbt.project.DbtFailed: dbt cannot read its project.
    """
    publication = warehouse.publication_path(settings)
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.home, prefix=".docs-") as folder:
        build = Path(folder)
        if publication is not None:
            shutil.copyfile(publication / warehouse.FILE, build / warehouse.FILE)
        warehouse.empty_lake(build)
        with warehouse.connect(build, read_only=False, settings=settings) as connection:
            ingestion.create_tables(connection)
        project = DbtProject(settings, build, ("--quiet",))
        done = project.run("--write-json", "docs", "generate", "--static")
        made = project.target / PAGE
        if not done.success or not made.exists():
            raise DbtFailed(f"dbt could not write its documentation: {done.exception or 'see above'}")
        page = settings.home / "docs" / "index.html"
        page.parent.mkdir(exist_ok=True)
        made.replace(page)
    return page


def main() -> int:
    """Write the page; returns the exit code."""
    try:
        page = write(read_settings())
    except (DbtFailed, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Open {page} in a browser.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
