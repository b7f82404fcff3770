{% macro stretches_seen(columns, terms) -%}
{%- set moments = ['starts_at', 'ends_at', 'first_seen_on', 'last_seen_on', 'is_scored', 'is_late', 'is_only_date'] -%}
dates as (
    select * from {{ ref('int_dates_in_order') }}
),

days as (
    select * from {{ ref('int_days_in_order') }}
),

-- Nearly every row is known by the first date that can know it and is never superseded.
placed as (
    select
        transactions.*,
        days.first_date,
        days.previous_as_of_date,
        days.previous_cutoff_at,
        days.last_cutoff_at,
        days.starts_at,
        days.ends_at,
        days.is_only_date,
        transactions.known_at >= days.first_cutoff_at as is_late,
        coalesce(transactions.superseded_at < days.last_cutoff_at, false) as has_ended
    from transactions
    inner join days
        on transactions.client_id = days.client_id and transactions.business_date = days.business_date
    where
        transactions.known_at < days.last_cutoff_at
        and (transactions.superseded_at is null or transactions.superseded_at >= days.first_cutoff_at)
),

settled as (
    select
        *,
        first_date as first_seen_on,
        cast(null as date) as last_seen_on,
        is_customer_initiated and (
            previous_as_of_date is null
            or business_date > previous_as_of_date
            or version_known_at >= previous_cutoff_at
        ) as is_scored
    from placed
    where not is_late and not has_ended
),

-- Of the others, rows that say the same in these terms are one stretch: a new word on the merchant is no new amount.
compared as (
    select
        *,
        coalesce(
            lag(superseded_at) over understandings = known_at
            {%- for term in terms %}
            and lag({{ term }}) over understandings is not distinct from {{ term }}
            {%- endfor %},
            false
        ) as is_continued
    from placed
    where is_late or has_ended
    window understandings as (partition by transaction_key, version order by known_at)
),

numbered as (
    select
        *,
        sum(case when is_continued then 0 else 1 end) over (
            partition by transaction_key, version order by known_at
        ) as stretch
    from compared
),

stretched as (
    select
        *,
        row_number() over (partition by transaction_key, version, stretch order by known_at) as stretch_row,
        max(coalesce(superseded_at, cast('9999-12-31' as timestamp))) over (
            partition by transaction_key, version, stretch
        ) as seen_until
    from numbered
),

dated as (
    select
        stretched.*,
        greatest(stretched.first_date, begins.as_of_date) as first_seen_on,
        case when stretched.seen_until < stretched.last_cutoff_at then ends.as_of_date end as last_seen_on
    from stretched
    inner join dates as begins
        on
            stretched.client_id = begins.client_id
            and stretched.known_at >= begins.cutoff_before
            and stretched.known_at < begins.cutoff_at
    left join dates as ends
        on
            stretched.client_id = ends.client_id
            and stretched.seen_until >= ends.cutoff_at
            and stretched.seen_until < ends.cutoff_after
    where stretched.stretch_row = 1
),

changed as (
    select
        dated.*,
        dated.is_customer_initiated and (
            dates.previous_as_of_date is null
            or dated.business_date > dates.previous_as_of_date
            or dated.version_known_at >= dates.previous_cutoff_at
        ) as is_scored
    from dated
    inner join dates on dated.client_id = dates.client_id and dated.first_seen_on = dates.as_of_date
    where dated.last_seen_on is null or dated.first_seen_on <= dated.last_seen_on
),

seen as (
    {%- for part in ['settled', 'changed'] %}
    select
        {%- for column in columns + terms + moments %}
        {{ column }}{{ "," if not loop.last }}
        {%- endfor %}
    from {{ part }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
)
{%- endmacro %}
