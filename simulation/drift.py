"""Planted drift: what changes in the middle of a bank's history."""

from dataclasses import dataclass

DRIFTS = {
    "income": "salaries and earnings grow by this share",
    "income_shocks": "borrowers lose income more often, by this share",
    "prices": "amounts of purchases grow by this share",
    "online": "this share of payments at terminals moves online",
    "merchants": "this share of payments goes to merchants that nobody knew before",
    "fraud": "thefts grow by this share, and all of the growth is account take-over",
    "city_missing": "the feed leaves the city out in this share of records",
}


@dataclass(frozen=True)
class Drift:
    """A planted change: what (a key of `DRIFTS`), how much (a share), from which simulated day on."""

    kind: str
    size: float
    day: int

    def __post_init__(self) -> None:
        if self.kind not in DRIFTS:
            raise ValueError(f"{self.kind!r} is no kind of drift; the kinds are {', '.join(DRIFTS)}")

    @classmethod
    def parse(cls, text: str) -> "Drift":
        """Read `kind:size:day`.

        Raises:
            ValueError: it is not written so.
        """
        try:
            kind, size, day = text.split(":")
            return cls(kind, float(size), int(day))
        except ValueError as error:
            raise ValueError(
                f"{text!r} is no drift; write kind:size:day, such as prices:0.2:400 ({error})"
            ) from error
