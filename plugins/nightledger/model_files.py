"""Which models the YAML files describe, and what they say; `ml.config` knows what the keys mean.

A file describes one model, and under `variants` others: a baseline of that model, trained as a model of its
own on what the variant says otherwise, such as another label.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

INHERITED = ("entity", "features", "attributes", "scope", "dates", "minimums", "evaluation", "seed")
"""What a variant need not say again: who is asked about, when, and how it is judged. What the answer leads to
(label, baselines, promotion, bands, reasons) is its own, and so is whose permission its columns need."""


class ModelFileError(ValueError):
    """A file does not say which models there are, or what a variant is; the message names file and key."""


@dataclass(frozen=True)
class ModelFile:
    """Where a model is described."""

    name: str
    path: Path

    @property
    def variant_of(self) -> str:
        """The model whose file has it under `variants`; empty: the file is its own."""
        return "" if self.path.stem == self.name else self.path.stem

    @property
    def place(self) -> str:
        """File and key, for messages."""
        return f"{self.path.name}: variants.{self.name}" if self.variant_of else self.path.name

    def said(self) -> dict[str, Any]:
        """What is said of the model, unchecked; of a variant also what it has from model and baseline.

        Raises:
            ModelFileError: the file cannot be read, or the variant does not name a baseline to train.
        """
        said = _read(self.path)
        variants = said.pop("variants", None) or {}
        if not isinstance(variants, dict):
            raise ModelFileError(f"{self.path.name}: variants must be models by name")
        if strange := [name for name in variants if not _is_name(name)]:
            raise ModelFileError(
                f"{self.path.name}: variants: {strange[0]!r} must be a name like application_fraud"
            )
        if not self.variant_of:
            return said
        try:
            return _put_together(self.variant_of, said, variants[self.name])
        except ValueError as error:
            raise ModelFileError(f"{self.place}: {error}") from error


def model_files(folders: Iterable[Path]) -> dict[str, ModelFile]:
    """Every model that the files of some folders describe, by name.

    Raises:
        ModelFileError: two files describe one model.
    """
    found: dict[str, ModelFile] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yml")):
            for name in (path.stem, *_variants(path)):
                if name in found:
                    raise ModelFileError(
                        f"two files describe the model {name}: {found[name].path} and {path}"
                    )
                found[name] = ModelFile(name, path)
    return found


def _variants(path: Path) -> list[str]:
    """Names of a file's variants. What is wrong with it is told when one of its models is asked for."""
    if b"variants" not in path.read_bytes():
        return []  # the names of models are asked for often, and reading YAML takes a while
    try:
        found = _read(path).get("variants")
    except ModelFileError:
        return []
    return [name for name in found if _is_name(name)] if isinstance(found, dict) else []


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier()


def _read(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
    try:
        said = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - both are safe loaders
    except yaml.YAMLError as error:
        raise ModelFileError(f"{path.name}: {error}") from error
    if not isinstance(said, dict):
        raise ModelFileError(f"{path.name}: it must hold keys with their values")
    return said


def _put_together(base_name: str, base: dict[str, Any], own: Any) -> dict[str, Any]:
    if not isinstance(own, dict):
        raise ValueError("it must hold keys with their values")
    baselines = {
        name: baseline
        for name, baseline in (base.get("baselines") or {}).items()
        if isinstance(baseline, dict) and baseline.get("kind") == "xgboost"
    }
    wanted = own.get("baseline")
    if wanted not in baselines:
        raise ValueError(
            f"baseline: {wanted!r} is none of the baselines of kind xgboost: {', '.join(baselines) or 'none'}"
        )
    if fixed := sorted({"estimator", "only", "family"} & set(own)):
        raise ValueError(f"{', '.join(fixed)}: a variant has them from its baseline {wanted}")
    estimator = dict(baselines[wanted])
    columns = estimator.pop("features", "all")
    return {
        "module": base.get("module", base_name),
        **{key: base[key] for key in INHERITED if key in base},
        "estimator": estimator,
        **({} if columns == "all" else {"only": columns}),
        **{key: value for key, value in own.items() if key != "baseline"},
    }
