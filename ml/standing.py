"""The registry follows what was decided about models: aliases, and whether an old version can score again.

The decisions are rows of the operational database (`nightledger.governance.ledger`); a model never decides
about itself. `python -m ml.standing align MODEL CHAMPION CHALLENGER` and `… check MODEL VERSION` are for
`nightledger.governance.decisions`, which knows no models; an empty argument means none.
"""

import argparse
import sys

from ml import config, families
from ml.artefacts import ModelError
from ml.datasets import read_publication
from ml.features import DatasetError
from ml.registry import Registry, RegistryError
from nightledger import warehouse
from nightledger.settings import Settings


def align(settings: Settings, model: str, champion: str | None, challenger: str | None) -> None:
    """Give the aliases of a model to these versions.

    Raises:
        ml.registry.RegistryError: there is no such version.
    """
    Registry(settings).align(model, champion, challenger)


def why_not(settings: Settings, model: str, version: str) -> str:
    """Why a version cannot score the features of the current publication; empty when it can.

    A night whose pinned version does not fit its features fails, so nobody may go back to such a one.
    """
    described = config.read(model.partition(".")[0])
    try:
        files = Registry(settings).files(model, version)
        publication = read_publication(settings)
        with warehouse.connect(publication.path, settings=settings) as connection:
            return families.of(described).why_not(
                connection, publication.path, described, publication.as_of_date, files
            )
    except (RegistryError, DatasetError, ModelError) as error:
        return str(error)


def main(arguments: list[str] | None = None) -> int:
    """Align or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="ml.standing", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    aligning = commands.add_parser("align", help="move the aliases")
    for name in ("model", "champion", "challenger"):
        aligning.add_argument(name)
    checking = commands.add_parser("check", help="print why a version cannot score")
    for name in ("model", "version"):
        checking.add_argument(name)
    given = parser.parse_args(arguments)
    settings = Settings()
    try:
        if given.command == "align":
            align(settings, given.model, given.champion or None, given.challenger or None)
        else:
            sys.stdout.write(why_not(settings, given.model, given.version))
    except (config.ConfigError, RegistryError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
