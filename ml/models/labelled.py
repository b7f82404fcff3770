"""SQL for any label of the feed `labels`: who has it, and by when that was known.

A use case's YAML names it as `module: labelled` and needs no code of its own. Its `parameters`:

- `label`: name of the label in the feed, such as `default`.
- `positive`: values of the label, of any case, that are the event; every other value is none.
- `silence`: what an entity without a value counts as. `unknown` (the default): it is left out, as where every
  row has an outcome that may not be known yet. `other`: as one without the event, where only events are told;
  rows before the client's first label are then left out.
- `exposure` (may be left out): column of the attributes with the money that the event would cost.

Who is scored: the entities of the first of `features`, a table of attributes or a feature table. With
`label.horizon_days: 0` the row itself is judged, by the last value known at the judgement. With more, an
event counts when its day lies within so many days after the as-of date, and the last statement about that day
known at the judgement says that it was one: what is taken back by then never was. With `silence: other` only
events are told, so any other value takes back events of the days before its own too, as a withdrawal dated by
the day on which it was made does. Not asked about, in training and scoring alike: who is known at the as-of
date to have had an event, and, with `silence: other`, customers of a client that had told nothing by then.
Left out of training besides: who had had an event by the as-of date of which nobody knew yet (neither outcome
is right).
"""

from ml import attributes
from ml.config import ConfigError
from ml.models import fraud
from ml.scores.config import UseCase

KEY = {"customer": "customer_id", "transaction": "transaction_key"}
"""Entities that have feature tables, by the name of their id there."""


def POPULATION(use_case: UseCase) -> str:
    """Whom the first table of features knows, without those that a horizon does not ask about."""
    if not _horizon(use_case):
        return _everybody(use_case)
    _check(use_case)
    return f"""
        with population as ({_everybody(use_case)}),
        told as ({_told(use_case)})
        select * from population where {_asked(use_case)}
    """  # noqa: S608 - made of identifiers that were checked


def LABEL(use_case: UseCase) -> str:
    """The population with its outcome, each row as the first as-of date knew it."""
    silent, horizon = _silence(use_case), _horizon(use_case)
    _check(use_case)
    conditions = []
    if horizon:
        conditions.append(_asked(use_case))
        conditions.append("""
            not exists (
                select 1 from judgements as unknown_then
                where unknown_then.client_id = population.client_id
                    and unknown_then.entity_id = population.entity_id
                    and unknown_then.as_of_date = population.as_of_date
                    and unknown_then.is_event and unknown_then.happened_on <= population.day
            )
        """)
    elif silent == "other":
        conditions.append("""
            exists (
                select 1 from told
                where told.client_id = population.client_id and told.known_at::date <= population.day
            )
        """)
    within = """
        where judgements.happened_on > population.day
            and judgements.happened_on <= population.day + $horizon_days::integer
    """
    return f"""
        with population as (
            select * from ({_everybody(use_case)})
            qualify as_of_date = min(as_of_date) over (partition by client_id, entity_id, day)
        ),
        told as ({_told(use_case)}),
        judgements as (
            select population.client_id, population.entity_id, population.as_of_date,
                {"told.happened_on," if horizon else ""}
                arg_max(told.is_event, (told.known_at, told._load_id, told._record)) as is_event
            from population
            inner join cutoffs as judged
                on judged.client_id = population.client_id
                and judged.day = population.day + $matures_after::integer
            inner join told
                on told.client_id = population.client_id
                and told.entity_id = population.entity_id
                and told.known_at < judged.cutoff_at
            group by all
        ),
        outcomes as (
            select judgements.client_id, judgements.entity_id, judgements.as_of_date,
                bool_or(judgements.is_event) as is_event
            from judgements
            inner join population using (client_id, entity_id, as_of_date)
            {within if horizon else ""}
            group by all
        )
        select population.*, coalesce(outcomes.is_event, false)::integer as label
        from population
        {"left" if silent == "other" else "inner"} join outcomes using (client_id, entity_id, as_of_date)
        {"where" if conditions else ""} {" and ".join(conditions)}
    """  # noqa: S608 - made of identifiers that were checked


def _everybody(use_case: UseCase) -> str:
    table = use_case.features[0]
    owner = "entity_id" if use_case.entity == "customer" else "null::varchar"
    if attributes.source_of(table) is not None:
        return f"""
            select client_id, entity_id, as_of_date, day, {owner} as customer_id
            from ({attributes.rows_sql(use_case, table)})
        """  # noqa: S608 - made of identifiers that were checked
    if use_case.entity not in KEY:
        raise ConfigError(
            f"{use_case.place}: there is no feature table of {use_case.entity}s; begin with "
            "attributes.<source>"
        )
    if use_case.entity == "transaction":
        return fraud.POPULATION
    key = KEY[use_case.entity]
    return f"""
        select vectors.client_id, vectors.{key} as entity_id, dates.as_of_date, dates.as_of_date as day,
            vectors.{key} as customer_id
        from dates
        inner join features."{table}" as vectors
            on vectors.client_id = dates.client_id and vectors.as_of_date = dates.as_of_date
    """  # noqa: S608 - as above


def _told(use_case: UseCase) -> str:
    """The statements about the label, by the client's own day of the event that they speak of.

    One that takes back several events is there once for each of their days.
    """
    stated = f"""
        select labels.client_id, labels.entity_id, labels.known_at, labels._load_id, labels._record,
            list_contains(list_transform($positive::varchar[], lambda v: lower(v)), lower(labels.value))
                as is_event,
            timezone(clients.timezone, timezone('UTC', labels.event_at))::date as happened_on
        from staging.stg_labels as labels
        inner join ops.clients as clients on clients.client_id = labels.client_id
        where labels.entity = '{use_case.entity}' and labels.label = $label
    """  # noqa: S608 - one of a few entities
    if not _horizon(use_case) or _silence(use_case) == "unknown":
        return stated
    return f"""
        with stated as ({stated})
        select * from stated
        union all
        select stated.* replace (events.happened_on as happened_on)
        from stated
        inner join (select distinct client_id, entity_id, happened_on from stated where is_event) as events
            on events.client_id = stated.client_id and events.entity_id = stated.entity_id
            and (events.happened_on < stated.happened_on or stated.happened_on is null)
        where not stated.is_event
    """  # noqa: S608 - as above


def _asked(use_case: UseCase) -> str:
    """Condition on `population`, by what `told` said before the cutoff of the row's own as-of date."""
    had_it = """
        (population.client_id, population.entity_id, population.as_of_date) not in (
            select (client_id, entity_id, as_of_date) from (
                select rows.client_id, rows.entity_id, rows.as_of_date, told.happened_on
                from population as rows
                inner join dates on dates.client_id = rows.client_id and dates.as_of_date = rows.as_of_date
                inner join told
                    on told.client_id = rows.client_id
                    and told.entity_id = rows.entity_id
                    and told.happened_on <= rows.day
                    and told.known_at < dates.cutoff_at
                group by all
                having arg_max(told.is_event, (told.known_at, told._load_id, told._record))
            )
        )
    """
    if _silence(use_case) == "unknown":
        return had_it
    return f"""
        {had_it} and exists (
            select 1 from told
            inner join dates on dates.client_id = told.client_id and told.known_at < dates.cutoff_at
            where dates.client_id = population.client_id and dates.as_of_date = population.as_of_date
        )
    """  # noqa: S608 - put together from our own text


def DAYS(use_case: UseCase) -> str:
    """Days with rows, of a model with labels with rows that have an outcome."""
    rows = LABEL(use_case) if use_case.label else POPULATION(use_case)
    return f"select distinct client_id, day from ({rows})"  # noqa: S608 - as above


def EXPOSURE(use_case: UseCase) -> str:
    """The money that the event would cost; empty where nobody says which column holds it."""
    table, column = use_case.features[0], use_case.parameters.get("exposure")
    if attributes.source_of(table) is None:
        return fraud.EXPOSURE if use_case.entity == "transaction" else ""
    if column is None:
        return ""
    quoted = str(column).replace('"', '""')
    return f"""
        select client_id, entity_id, as_of_date, abs("{quoted}")::decimal(18, 4) as exposure
        from ({attributes.rows_sql(use_case, table)})
    """  # noqa: S608 - as above


def _horizon(use_case: UseCase) -> int:
    return use_case.label.horizon_days if use_case.label else 0


def _check(use_case: UseCase) -> None:
    given = use_case.parameters
    if not isinstance(given.get("label"), str):
        raise ConfigError(f"{use_case.place}: parameters.label must name a label of the feed")
    if not isinstance(given.get("positive"), list):
        raise ConfigError(
            f'{use_case.place}: parameters.positive must list the values that are the event: ["1"]'
        )


def _silence(use_case: UseCase) -> str:
    silence = str(use_case.parameters.get("silence", "unknown"))
    if silence not in ("unknown", "other"):
        raise ConfigError(f"{use_case.place}: parameters.silence is unknown or other, not {silence}")
    return silence
