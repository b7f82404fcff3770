"""Models and their metadata: files under `settings.registry`, metadata in MLflow.

An artefact is a folder `models/<model>/<version>` of two files: the booster (`model.ubj`) and what it needs
beside it (`model.json`, which also holds the booster's hash). The hash of `model.json` is the artefact's;
MLflow keeps it, and loading checks both. MLflow knows an artefact by a path relative to the registry, written
`mlflow-artifacts:/<path>`: a home that was moved or copied still works, and MLflow's own UI shows the files
when it is started with `--artifacts-destination <registry>`.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb
from numpy.typing import NDArray

from ml.datasets import Feature
from nightledger.settings import Settings

CHAMPION, CHALLENGER = "champion", "challenger"
_SCHEME = "mlflow-artifacts:/"


class RegistryError(RuntimeError):
    """A model is not there or is not what was registered."""


@dataclass(frozen=True)
class Model:
    """A fitted model: booster, calibration and what scoring needs to know of its training rows."""

    booster: xgb.Booster
    calibration: tuple[float, float]
    """(a, b) of probability = 1 / (1 + exp(-(a * margin + b))); a > 0 keeps the ranking."""
    features: tuple[str, ...]
    definitions: dict[str, str]
    definition_hash: str
    medians: dict[str, float | None]
    """Median of each feature over the fitted rows: what is called typical. None: always missing."""
    ranges: dict[str, tuple[float, float] | None]
    """Range of each feature over the fitted rows that counts as known ground."""
    use_case: dict[str, Any]
    """Numbers of the use case: the same booster under other rules is another version."""

    def contributions(self, table: pa.Table, threads: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Contributions of each feature and margins of each row.

        Contributions are in units of the booster's margin (log-odds before calibration): positive pushes
        towards the event. Their sum and the bias were checked against the margin.

        Args:
            table: the features in any order; they are taken by name.
            threads: of XGBoost; does not change the result.

        Raises:
            ArithmeticError: contributions do not add up to the margin.
        """
        # By name: XGBoost takes Arrow columns in any order and would score the wrong ones without a word.
        matrix = xgb.DMatrix(table.select(list(self.features)), nthread=threads)
        parts = self.booster.predict(matrix, pred_contribs=True, strict_shape=True)[:, 0, :]
        margins = np.asarray(self.booster.predict(matrix, output_margin=True), dtype=np.float64)
        off = np.abs(parts.sum(axis=1, dtype=np.float64) - margins)
        if not np.all(off <= 1e-4 * (1 + np.abs(margins))):
            raise ArithmeticError(f"contributions miss the margin by up to {np.nanmax(off):g}")
        return parts[:, :-1], margins

    def margins(self, table: pa.Table, threads: int) -> NDArray[np.float64]:
        """Margin of each row; `table` as in `contributions`."""
        matrix = xgb.DMatrix(table.select(list(self.features)), nthread=threads)
        return np.asarray(self.booster.predict(matrix, output_margin=True), dtype=np.float64)

    def probabilities(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probability of the event."""
        a, b = self.calibration
        return np.asarray(1 / (1 + np.exp(-(a * margins + b))), dtype=np.float64)

    def differences(self, features: tuple[Feature, ...], definition_hash: str | None) -> str:
        """What differs between the features the model was trained on and these; empty when nothing does.

        Args:
            features: of the build's manifest.
            definition_hash: of the build's rows; None when there are no rows to tell.
        """
        now = {feature.name: feature.definition for feature in features}
        found = []
        if gone := [name for name in self.features if name not in now]:
            found.append(f"gone: {', '.join(gone)}")
        if new := [name for name in now if name not in self.definitions]:
            found.append(f"new: {', '.join(new)}")
        if changed := [n for n in self.features if n in now and now[n] != self.definitions[n]]:
            found.append(f"defined differently: {', '.join(changed)}")
        if not found and tuple(now) != self.features:
            moved = [name for name, was in zip(now, self.features, strict=True) if name != was]
            found.append(f"in another order: {', '.join(moved)}")
        if not found and definition_hash is not None and definition_hash != self.definition_hash:
            found.append(
                f"SQL of the feature table or of a model below it: {self.definition_hash} then, "
                f"{definition_hash} now"
            )
        return "; ".join(found)

    def files(self) -> dict[str, bytes]:
        """The artefact's files; the same model gives the same bytes."""
        booster = bytes(self.booster.save_raw("ubj"))
        sidecar = {
            "booster_sha256": hashlib.sha256(booster).hexdigest(),
            "calibration": self.calibration,
            "features": self.features,
            "definitions": self.definitions,
            "definition_hash": self.definition_hash,
            "medians": self.medians,
            "ranges": self.ranges,
            "use_case": self.use_case,
        }
        return {"model.ubj": booster, "model.json": json.dumps(sidecar, indent=1).encode()}


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


def sha256(files: Mapping[str, bytes]) -> str:
    """Hash of an artefact."""
    return hashlib.sha256(files["model.json"]).hexdigest()


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

    def find(self, model: str, version: str) -> Registered | None:
        """A version by its id, or None."""
        return next((found for found in self._versions(model) if found.version == version), None)

    def champion(self, model: str) -> Registered | None:
        """The champion, or None before the first one."""
        return self._by_alias(model, CHAMPION)

    def challenger(self, model: str) -> Registered | None:
        """The latest challenger, or None."""
        return self._by_alias(model, CHALLENGER)

    def load(self, model: str, version: str) -> Model:
        """Read a registered version.

        Raises:
            RegistryError: unknown, its files are gone, or a hash differs.
        """
        registered = self.find(model, version)
        if registered is None:
            raise RegistryError(f"model {model} has no version {version} in the registry")
        folder = self._root / self._source(registered).removeprefix(_SCHEME)
        try:
            files = {name: (folder / name).read_bytes() for name in ("model.ubj", "model.json")}
        except FileNotFoundError as error:
            raise RegistryError(f"model {model} {version}: {error.filename} is gone") from error
        if sha256(files) != registered.artefact_sha256:
            raise RegistryError(
                f"model {model} {version}: hash of model.json differs from the registered one"
            )
        sidecar = json.loads(files["model.json"])
        if hashlib.sha256(files["model.ubj"]).hexdigest() != sidecar["booster_sha256"]:
            raise RegistryError(f"model {model} {version}: hash of model.ubj differs from the registered one")
        booster = xgb.Booster()
        booster.load_model(bytearray(files["model.ubj"]))
        a, b = sidecar["calibration"]
        return Model(
            booster=booster,
            calibration=(a, b),
            features=tuple(sidecar["features"]),
            definitions=sidecar["definitions"],
            definition_hash=sidecar["definition_hash"],
            medians=sidecar["medians"],
            ranges={name: tuple(ends) if ends else None for name, ends in sidecar["ranges"].items()},
            use_case=sidecar["use_case"],
        )

    def save(
        self,
        model: str,
        version: str,
        files: Mapping[str, bytes],
        predictions: pa.Table,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> Registered:
        """Write the files of a version and its metadata; a version that is there is returned as it is.

        Args:
            model: name of the use case.
            version: its id.
            files: of the artefact.
            predictions: of the out-of-time rows.
            params: what the model was made from.
            metrics: finite numbers by name.
        """
        relative = f"models/{model}/{version}"
        folder = self._root / relative
        if not folder.exists():
            part = folder.with_name(f"{version}.{os.getpid()}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            for name, content in files.items():
                (part / name).write_bytes(content)
            part.rename(folder)
        target = self._root / "predictions" / model / f"{version}.parquet"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(f".{os.getpid()}.part")
            pq.write_table(predictions, part)
            part.replace(target)
        return self.find(model, version) or self._register(model, version, sha256(files), params, metrics)

    def decide(self, registered: Registered, verdict: str, reason: str, alias: str | None) -> None:
        """Give a version its alias, then record its verdict; without a verdict it is judged again."""
        if alias is not None:
            self._client.set_registered_model_alias(registered.model, alias, registered.number)
        for key, value in (("reason", reason), ("verdict", verdict)):
            self._client.set_model_version_tag(registered.model, registered.number, key, value)

    def _register(
        self, model: str, version: str, digest: str, params: Mapping[str, Any], metrics: Mapping[str, float]
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
        self._client.set_terminated(run.info.run_id)
        try:
            self._client.create_registered_model(model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        created = self._client.create_model_version(
            model,
            f"{_SCHEME}models/{model}/{version}",
            run.info.run_id,
            tags={"version": version, "artefact_sha256": digest},
        )
        return Registered(model, version, digest, "", "", created.version)

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

    def _source(self, registered: Registered) -> str:
        return str(self._client.get_model_version(registered.model, registered.number).source)

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
