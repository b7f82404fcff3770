"""The models there are, by their YAML in `models/`, and what all files may say; families say more."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nightledger.model_files import ModelFile, ModelFileError, model_files
from nightledger.settings import read_settings

if TYPE_CHECKING:
    from ml.scores.config import UseCase

MODELS = Path(__file__).with_name("models")
"""The project's own files."""

Share = Annotated[float, Field(gt=0, lt=1)]
Number = str | int | float


class ConfigError(ValueError):
    """A use case cannot be used; the message names file and key."""


class Section(BaseModel):
    """A part of a model's YAML: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Lead = Literal["certain", "measured"]
"""Over a baseline: the whole interval of the difference lies above 0, or the difference itself does."""


class Attributes(Section):
    """Which columns of tables of attributes are features, and which of their rows count."""

    columns: list[str] | Literal["all"] = "all"
    exclude: list[str] = Field([], description="columns that name things, or that know the outcome")
    fairness: list[str] = Field(
        [], description="columns that say who somebody is, such as age or sex: never features"
    )
    groups: dict[Literal["age_band", "region", "gender"], str] = Field(
        {}, description="columns of the table of attributes that say these; models are compared by them"
    )
    max_age_days: int | None = Field(
        None, ge=1, description="of month-ends: a row that is older tells nothing; default: none is too old"
    )
    most_values: int = Field(1000, ge=2, description="different values that a column of text may have")

    @property
    def of_people(self) -> set[str]:
        """Columns that say who somebody is."""
        return {*self.fairness, *self.groups.values()}

    @model_validator(mode="after")
    def _fairness_is_no_feature(self) -> "Attributes":
        if self.columns != "all" and (both := sorted(set(self.columns) & self.of_people)):
            raise ValueError(
                f"attributes.fairness and groups name {', '.join(both)}, which attributes.columns makes"
                " features of"
            )
        return self


class Described(BaseModel):
    """What every model's file says, whatever family it belongs to; see `ml.families`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str = "scores"
    name: str
    variant_of: str = Field("", description="model whose file has it under `variants`; default: none")
    description: str
    entity: Literal["customer", "account", "loan", "transaction"]
    features: list[str] = Field([], description="models of dbt schema `features`, or attributes.<source>")
    only: list[str] = Field([], description="columns of them that are used; default: all that may be")
    allowed_as: str | None = Field(
        None, description="what the features' `allowed_in` must name; default: the model's own name"
    )
    attributes: Attributes = Attributes()
    scope: Literal["global", "client", "vertical", "client_vertical", "segment"] = "global"
    seed: int

    @property
    def place(self) -> str:
        """File and key, for messages."""
        return f"{self.variant_of}.yml: variants.{self.name}" if self.variant_of else f"{self.name}.yml"


def names(folder: Path | None = None) -> list[str]:
    """The use cases that files and their `variants` describe, of the project and of NIGHTLEDGER_MODELS."""
    return sorted(_files(folder))


def load(model: str, folder: Path | None = None) -> "UseCase":
    """The use case `model`, which gives scores.

    Raises:
        ConfigError: there is none of that name, its file is not valid, two files have its name, or it is of
            another family.
    """
    from ml.scores.config import UseCase

    found = read(model, folder)
    if not isinstance(found, UseCase):
        raise ConfigError(f"{found.place}: a model of the family {found.family} gives no scores of rows")
    return found


def read(model: str, folder: Path | None = None) -> Described:
    """The model `model`, of whatever family.

    Raises:
        ConfigError: there is none of that name, its file is not valid, or two files have its name.
    """
    files = _files(folder)
    if model not in files:
        raise ConfigError(f"no model {model!r}; there are: {', '.join(sorted(files)) or 'none'}")
    file = files[model]
    try:
        values = file.said()
        return _class_of(values.get("family", "scores"))(name=model, variant_of=file.variant_of, **values)
    except ModelFileError as error:
        raise ConfigError(str(error)) from error
    except (ValidationError, TypeError, AttributeError) as error:
        raise ConfigError(f"{file.place}: {error}") from error


def _class_of(family: str) -> type[Described]:
    place = Path(__file__).parent / family / "config.py"
    if not family.isidentifier() or not place.exists():
        others = sorted(path.parent.name for path in place.parents[1].glob("*/config.py"))
        raise TypeError(f"family: {family!r} is none of {', '.join(others)}")
    module = import_module(f"ml.{family}.config")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Described) and value.__module__ == module.__name__
    )
    return found


def _files(folder: Path | None) -> dict[str, ModelFile]:
    try:
        return model_files([folder] if folder else read_settings().folders_of_models)
    except ModelFileError as error:
        raise ConfigError(str(error)) from error
