"""Train a model on a publication and find what the rules make of the result.

The steps of its family (`ml.families`) fit and judge; here the version is registered and its verdict kept. A
model is refused when there is too little to learn from, when something simpler does as well, or when a
feature knows the answer. The registry's aliases stay: they follow the decisions (`ml.standing`).
"""

import time
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from ml import config, families, scopes
from ml.artefacts import sha256
from ml.config import Described
from ml.datasets import read_publication
from ml.families import Job, TooLittle
from ml.features import read_features
from ml.promotion import REFUSED, UNCHANGED
from ml.registry import Registry
from nightledger import revision, warehouse
from nightledger.settings import Settings


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training found, why, and what it measured."""

    model: str
    version: str | None
    """None: refused before anything was fitted."""
    verdict: str
    """promoted, kept_as_challenger, refused or unchanged."""
    standing: str
    """What the version is, also when nothing changed: promoted, kept_as_challenger or refused."""
    reason: str
    publication_id: str
    trained_on_as_of: date
    """Last as-of date of the publication: a version scores later dates only."""
    known_at: str
    """ISO; in data time, the cutoff until which the publication knows."""
    artefact_sha256: str | None
    champion: str | None
    """The version it was compared with."""
    guardrails: tuple[str, ...]
    """Those it breaks, in words."""
    importances: tuple[dict[str, Any], ...]
    """By feature: `feature`, `feature_group`, `importance` (`ml.scores.cards.importance`)."""
    metrics: tuple[dict[str, Any], ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {
            "trained_on_as_of": self.trained_on_as_of.isoformat(),
            "guardrails": list(self.guardrails),
            "importances": list(self.importances),
            "metrics": list(self.metrics),
        }


def members(settings: Settings, publication_id: str | None = None) -> list[str]:
    """Every model that there is to train, as the registry calls it.

    A model whose scope is the client, the vertical or the segment has one version for each that the
    publication holds: `churn.demo_wallet`; see `ml.scopes`.
    """
    publication = read_publication(settings, publication_id)
    with warehouse.connect(publication.path, settings=settings) as connection:
        return [
            ".".join(filter(None, (name, member)))
            for name in config.names()
            for member in scopes.members(connection, settings, config.read(name))
        ]


def train(
    settings: Settings, model: str, publication_id: str | None = None, champion: str | None = None
) -> TrainingOutcome:
    """Train `model` on a publication (default: the current one), register the version and judge it.

    Safe to repeat: the same publication and numbers give the same version. A version is judged once; after
    that its verdict is "unchanged" and the reason names the one it got.

    Args:
        settings: of the installation.
        model: a file of `ml/models`, or `<file>.<member>` of its scope.
        publication_id: what to learn from.
        champion: the version that it is compared with; None: there is none.

    Raises:
        ml.config.ConfigError: no such model.
        ml.features.DatasetError: nothing to read from.
        ml.registry.RegistryError: the champion is not there or was changed.
    """
    started = time.perf_counter()
    name, _, member = model.partition(".")
    described = scopes.asked(settings, config.read(name), model)
    publication = read_publication(settings, publication_id)
    outcome = TrainingOutcome(
        model=model,
        version=None,
        verdict=REFUSED,
        standing=REFUSED,
        reason="",
        publication_id=publication.id,
        trained_on_as_of=publication.as_of_date,
        known_at=publication.known_at.isoformat(),
        artefact_sha256=None,
        champion=None,
        guardrails=(),
        importances=(),
        metrics=(),
        seconds=0.0,
    )
    features = read_features(publication.path, described) if described.features else ()
    job = Job(settings, model, described, publication, features)
    try:
        outcome = _judged(job, member, champion, outcome)
    except TooLittle as refused:
        outcome = replace(outcome, reason=str(refused))
    return replace(outcome, seconds=time.perf_counter() - started)


def _judged(
    job: Job[Described], member: str, champion: str | None, outcome: TrainingOutcome
) -> TrainingOutcome:
    shelf = Registry(job.settings)
    rival = shelf.known(job.name, champion) if champion else None
    trained = families.of(job.described).train(job, member, rival)
    version = job.version(trained.files)
    digest = sha256(trained.files)
    registered = shelf.save(
        job.name,
        version,
        trained.files,
        trained.heldout,
        params={
            "publication_id": job.publication.id,
            "content_hash": job.publication.content_hash,
            "publication_code_revision": job.publication.code_revision,
            "code_revision": revision.of(job.settings),
            **trained.params,
        },
        metrics=trained.numbers(),
        documents=trained.documents,
    )
    if registered.verdict:
        verdict = UNCHANGED
        reason = f"The same version was judged before ({registered.verdict}): {registered.reason}"
    else:
        verdict, reason = trained.verdict, trained.reason
        shelf.judge(registered, verdict, reason)
    return replace(
        outcome,
        version=version,
        verdict=verdict,
        standing=registered.verdict or verdict,
        reason=reason,
        artefact_sha256=digest,
        champion=champion if champion != version else None,
        guardrails=tuple(trained.guardrails),
        metrics=tuple({**row, "model": job.name, "version": version} for row in trained.metrics),
        importances=tuple(map(dict, trained.importances)),
    )
