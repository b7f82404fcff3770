"""The small bank, a first version on it, and a registry that holds files only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml.families import Job
from ml.registry import Registry
from ml.segments import steps
from ml.segments.config import Segments
from ml.segments.model import Segmentation
from nightledger.settings import Settings
from tests.unit.segments.bank import job, publish, small


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A bank with four kinds of customers; nothing has been trained."""
    return publish(tmp_path_factory.mktemp("segments") / "home")


@pytest.fixture(scope="session")
def first(settings: Settings) -> Segmentation:
    """The first version on that bank."""
    return Segmentation.from_files(steps.train(job(settings, small()), "bank", None).files)


@pytest.fixture
def registered(settings: Settings, tmp_path: Path) -> Iterator[Any]:
    """Keeps trained versions as the registry would: by their files only."""

    class Shelf:
        def __init__(self) -> None:
            self.kept: dict[str, dict[str, bytes]] = {}

        def keep(self, job: Job[Segments], files: Any) -> Any:
            version = job.version(files)
            self.kept[version] = dict(files)
            return type("Known", (), {"version": version})()

    shelf = Shelf()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Registry, "__init__", lambda self, settings: None)
        patch.setattr(Registry, "files", lambda self, model, version: shelf.kept[version])
        yield shelf
