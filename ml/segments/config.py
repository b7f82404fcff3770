"""What the YAML of a model that segments customers may say."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ml.config import Described, Section, Share


class Quantiles(Section):
    """Each column becomes the share of the fitted rows below it, 0 to 1: nobody is far from all others."""

    kind: Literal["quantile"]
    columns: list[str] = Field(min_length=2)
    quantiles: int = Field(ge=10, le=1000, description="that are kept of each column")
    weights: dict[str, float] = Field({}, description="of columns in a distance; 1 where none is given")


class LogRatios(Section):
    """Shares of a whole as centred log-ratios (Aitchison 1986)."""

    kind: Literal["log_ratio"]
    parts: dict[str, list[str]] = Field(
        min_length=3, description="columns whose shares are added up, by part"
    )
    pseudo_share: float = Field(
        gt=0, lt=0.5, description="added to each part: the logarithm of nothing has no end"
    )


class Dates(Section):
    """Number of month-ends: the latest are judged, those before them fitted."""

    training: int = Field(ge=1)
    test: int = Field(1, ge=1)


class Clusters(Section):
    """How many segments there are, and what a number of them must keep to be taken."""

    least: int = Field(ge=2)
    most: int = Field(le=20)
    starts: int = Field(ge=1, description="of K-Means on all rows; the best is taken")
    draws: int = Field(ge=5, description="bootstraps over customers")
    draw_starts: int = Field(ge=1, description="of K-Means on each, beside the centres of all rows")
    mean_agreement: Share = Field(description="adjusted Rand index with the draws' segments, on average")
    least_agreement: Share = Field(description="and in the worst draw")
    smallest_share: Share = Field(description="of the customers of a month-end, on average")
    clearly_better: float = Field(
        ge=0, description="silhouette that overrules the champion's number, or takes the fewest segments"
    )
    most_customers: int = Field(ge=100, description="fitted; of more, those with the smallest hashes")
    silhouette_rows: int = Field(ge=100, description="distances grow with the square of the rows")

    @model_validator(mode="after")
    def _ascend(self) -> "Clusters":
        if self.most < self.least:
            raise ValueError("clusters.most must not be below clusters.least")
        return self


Text = Annotated[str, Field(pattern=r"^[A-Za-z0-9 -]+$")]
"""Names go into lists, patterns and paths of others."""


class Word(Section):
    """What a segment is called whose mean of a column is low or high; none: nothing is said of that."""

    low: Text | None = None
    high: Text | None = None


class Names(Section):
    """How names follow from profiles, and when a segment of a new version is one of the champion's."""

    words: dict[str, Word] = Field(description="by column or part")
    least_deviation: float = Field(gt=0, description="in standard deviations of the rows, to be told")
    strong_deviation: float = Field(gt=0, description="from it on the strong form is used")
    strong: str = Field(description="the strong form; {word} stands for the word")
    words_at_first: int = Field(ge=1, description="more are used only where two names would be the same")
    nothing: Text = Field(description="name of a segment that deviates nowhere")
    least_overlap: Share = Field(
        description="customers in both of all in either, for a segment to keep id and name"
    )


class Segments(Described):
    """Configuration of a model that segments customers."""

    family: Literal["segments"]
    entity: Literal["customer"]
    scope: Literal["client"]
    scaling: Annotated[Quantiles | LogRatios, Field(discriminator="kind")]
    dates: Dates
    least_customers: int = Field(ge=2, description="active at each of the dates, on average")
    clusters: Clusters
    refit_after_days: int = Field(ge=1, description="until then the champion stays")
    share_psi: float = Field(gt=0, description="drift of the segments' shares that is told as one")
    names: Names

    @model_validator(mode="after")
    def _words_are_of_dimensions(self) -> "Segments":
        if unknown := sorted(set(self.names.words) - set(self.dimensions)):
            raise ValueError(f"names.words of {', '.join(unknown)}, which the scaling does not have")
        return self

    @model_validator(mode="after")
    def _weights_are_of_columns(self) -> "Segments":
        if isinstance(self.scaling, Quantiles):
            weights = self.scaling.weights
            if unknown := sorted(set(weights) - set(self.scaling.columns)):
                raise ValueError(f"scaling.weights of {', '.join(unknown)}, which is no column")
            if any(weight <= 0 for weight in weights.values()):
                raise ValueError("scaling.weights must be above 0; leave the column out instead")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Features that are read, in order."""
        if isinstance(self.scaling, Quantiles):
            return tuple(self.scaling.columns)
        return tuple(column for part in self.scaling.parts.values() for column in part)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Of the space that the segments lie in: columns, or parts of the whole."""
        return tuple(self.scaling.columns if isinstance(self.scaling, Quantiles) else self.scaling.parts)
