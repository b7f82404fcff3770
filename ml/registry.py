"""Models and their metadata: files under `settings.registry`, metadata in MLflow.

An artefact is a folder `models/<model>/<version>` of two files: the estimator (`model.ubj`, `model.skops`)
and what it needs beside it (`model.json`, which also holds the estimator's hash). The hash of `model.json` is
the artefact's;
MLflow keeps it, and loading checks both. Artefacts always lie under the registry's folder, also where the
metadata is on a server. Of a file as metadata, MLflow knows documents by a path relative to the registry,
`mlflow-artifacts:/<path>`: a home that was moved or copied still works, and MLflow's own UI shows them when
it is started with `--artifacts-destination <registry>`.
"""

import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ml.artefacts import SIDECAR, ModelError, sha256
from ml.scores.model import Model
from nightledger.settings import Settings

CHAMPION, CHALLENGER = "champion", "challenger"
_SCHEME = "mlflow-artifacts:/"


class RegistryError(RuntimeError):
    """A model is not there or is not what was registered."""


@dataclass(frozen=True)
class Registered:
    """A version in the registry."""

    model: str
    version: str
    artefact_sha256: str
    verdict: str
    reason: str
    number: str = field(repr=False)
    """MLflow's own version number."""


def version_id(as_of: date, artefact_sha256: str) -> str:
    """`<training as-of date>-<first 8 of the artefact's hash>`."""
    return f"{as_of.isoformat()}-{artefact_sha256[:8]}"


class Registry:
    """The registry of one installation."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.registry
        self._root.mkdir(parents=True, exist_ok=True)
        # MLflow reads these on import. It must not phone home, and its log lines are not ours.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["DO_NOT_TRACK"] = "true"
        os.environ["MLFLOW_DISABLE_AGENT_HINT"] = "true"
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = mlflow.MlflowClient(settings.registry_uri, settings.registry_uri)
        self._is_served = settings.registry_uri.startswith("http")

    def find(self, model: str, version: str) -> Registered | None:
        """A version by its id, or None."""
        return next((found for found in self._versions(model) if found.version == version), None)

    def known(self, model: str, version: str) -> Registered:
        """A version by its id.

        Raises:
            RegistryError: there is none.
        """
        registered = self.find(model, version)
        if registered is None:
            raise RegistryError(f"model {model} has no version {version} in the registry")
        return registered

    def document(self, model: str, version: str, name: str, *, optional: bool = False) -> str:
        """A document that was saved beside a version; with `optional`, empty when there is none.

        Raises:
            RegistryError: there is no such version, or the document is gone.
        """
        path = self._folder(self.known(model, version)) / name
        try:
            return path.read_text()
        except FileNotFoundError as error:
            if optional:
                return ""
            raise RegistryError(f"model {model} {version}: {name} is gone") from error

    def parameters(self, model: str, version: str) -> dict[str, str]:
        """What a version was made from, as `save` was told it.

        Raises:
            RegistryError: there is no such version.
        """
        number = self.known(model, version).number
        run = self._client.get_run(self._client.get_model_version(model, number).run_id)
        return dict(run.data.params)

    def predictions(self, model: str, version: str) -> Path:
        """File of a version's predictions of its out-of-time rows."""
        return self._root / "predictions" / model / f"{version}.parquet"

    def known_names(self, model: str) -> list[str]:
        """Under which names versions of a model are registered: its own, and `<model>.<member>`."""
        found = self._client.search_registered_models(f"name like '{model}%'", max_results=1000)
        return sorted(one.name for one in found if one.name.partition(".")[0] == model)

    def champion(self, model: str) -> Registered | None:
        """The champion, or None before the first one."""
        return self._by_alias(model, CHAMPION)

    def challenger(self, model: str) -> Registered | None:
        """The latest challenger, or None."""
        return self._by_alias(model, CHALLENGER)

    def load(self, model: str, version: str) -> Model:
        """Read a registered version that gives scores.

        Raises:
            RegistryError: unknown, its files are gone, or a hash differs.
        """
        try:
            return Model.from_files(self.files(model, version))
        except ModelError as error:
            raise RegistryError(f"model {model} {version}: {error}") from error

    def files(self, model: str, version: str) -> dict[str, bytes]:
        """The files of a registered version's artefact; the hash of `model.json` is checked.

        Raises:
            RegistryError: unknown, `model.json` is gone, or its hash differs.
        """
        registered = self.known(model, version)
        folder = self._folder(registered)
        files = {
            path.name: path.read_bytes() for path in sorted(folder.glob("model.*")) if path.suffix != ".md"
        }
        if SIDECAR not in files:
            raise RegistryError(f"model {model} {version}: {SIDECAR} is gone")
        if sha256(files) != registered.artefact_sha256:
            raise RegistryError(f"model {model} {version}: hash of {SIDECAR} differs from the registered one")
        return files

    def save(
        self,
        model: str,
        version: str,
        files: Mapping[str, bytes],
        predictions: pa.Table,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        documents: Mapping[str, str],
    ) -> Registered:
        """Write the files of a version and its metadata; a version that is there is returned as it is.

        Args:
            model: name of the use case.
            version: its id.
            files: of the artefact.
            predictions: of the out-of-time rows.
            params: what the model was made from.
            metrics: finite numbers by name.
            documents: beside the artefact, for people; not part of its hash.
        """
        relative = f"models/{model}/{version}"
        folder = self._root / relative
        if not folder.exists():
            part = folder.with_name(f"{version}.{os.getpid()}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            for name, content in files.items():
                (part / name).write_bytes(content)
            for name, text in documents.items():
                (part / name).write_text(text)
            part.rename(folder)
        target = self.predictions(model, version)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(f".{os.getpid()}.part")
            pq.write_table(predictions, part)
            part.replace(target)
        return self.find(model, version) or self._register(
            model, version, sha256(files), params, metrics, documents
        )

    def judge(self, registered: Registered, verdict: str, reason: str) -> None:
        """Keep what the rules made of a version; without a verdict it is judged again."""
        for key, value in (("reason", reason), ("verdict", verdict)):
            self._client.set_model_version_tag(registered.model, registered.number, key, value)

    def align(self, model: str, champion: str | None, challenger: str | None) -> None:
        """Make the aliases of a model say what the decisions about it come to; None takes an alias away.

        Raises:
            RegistryError: there is no such version.
        """
        numbers = {found.version: found.number for found in self._versions(model)}
        for alias, version in ((CHAMPION, champion), (CHALLENGER, challenger)):
            if version is not None and version not in numbers:
                raise RegistryError(f"model {model} has no version {version} in the registry")
            if version is not None:
                self._client.set_registered_model_alias(model, alias, numbers[version])
            elif self._by_alias(model, alias) is not None:
                self._client.delete_registered_model_alias(model, alias)

    def _register(
        self,
        model: str,
        version: str,
        digest: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        documents: Mapping[str, str],
    ) -> Registered:
        from mlflow.exceptions import MlflowException

        experiment = self._client.get_experiment_by_name(model)
        experiment_id = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(model, artifact_location=f"{_SCHEME}runs/{model}")
        )
        run = self._client.create_run(experiment_id, run_name=version, tags={"version": version})
        for key, value in params.items():
            self._client.log_param(run.info.run_id, key, value)
        for key, number in metrics.items():
            self._client.log_metric(run.info.run_id, key, number)
        for name, text in documents.items():
            self._show(run.info.artifact_uri, run.info.run_id, name, text)
        self._client.set_terminated(run.info.run_id)
        try:
            self._client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # A server takes no other source than the run's; the artefact itself lies under the registry's folder.
        created = self._client.create_model_version(
            model,
            run.info.artifact_uri,
            run.info.run_id,
            tags={"version": version, "artefact_sha256": digest},
        )
        return Registered(model, version, digest, "", "", created.version)

    def _show(self, location: str, run_id: str, name: str, text: str) -> None:
        """Put a document where MLflow's pages look for it: they show artefacts of runs, not of versions."""
        if self._is_served:
            self._client.log_text(run_id, text, name)
            return
        folder = self._root / location.removeprefix(_SCHEME)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    def _by_alias(self, model: str, alias: str) -> Registered | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._described(self._client.get_model_version_by_alias(model, alias))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _versions(self, model: str) -> list[Registered]:
        return [self._described(v) for v in self._client.search_model_versions(f"name='{model}'")]

    def _folder(self, registered: Registered) -> Path:
        return self._root / "models" / registered.model / registered.version

    @staticmethod
    def _described(version: Any) -> Registered:
        tags = version.tags
        return Registered(
            model=version.name,
            version=tags["version"],
            artefact_sha256=tags["artefact_sha256"],
            verdict=tags.get("verdict", ""),
            reason=tags.get("reason", ""),
            number=str(version.version),
        )
