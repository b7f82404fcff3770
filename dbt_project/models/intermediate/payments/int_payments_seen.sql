{{ config(materialized='table', schema='as_of') }}

{%- set version = [
    'client_id', 'customer_id', 'transaction_key', 'version', 'instrument', 'payment_mode', 'city', 'country',
    'terminal_id', 'latitude', 'longitude', 'amount', 'is_one_more', 'is_late', 'business_date', 'event_at', 'starts_at',
    'ends_at',
] %}
{%- set moments = ['first_date', 'version_known_at', 'known_at', 'superseded_at', 'last_cutoff_at'] %}
{%- set payment_terms = ['is_customer_initiated', 'is_purchase', 'spend_amount'] %}
{%- set visit_terms = ['is_visit', 'merchant', 'place'] %}

with

dates as (
    select * from {{ ref('int_dates_in_order') }}
),

placed as (
    select * from {{ ref('int_payments_placed') }}
),

-- A night looks back at the customers that it describes, and at all who were at a place where frauds are reported.
described as (
    select distinct
        client_id,
        customer_id
    from placed
    where is_new
),

reporting as (
    select distinct client_id from {{ ref('int_fraud_reports') }}
),

-- Nearly every row is known by the first date that can know it and is never superseded.
settled as (
    select
        *,
        is_customer_initiated as is_visit,
        first_date as first_seen_on,
        cast(null as date) as last_seen_on,
        is_new as is_scored
    from placed
    where not is_late and not has_ended
),

kinds as (
    select true as is_visit
    union all
    select false as is_visit
),

-- The others are told twice, as a payment and as a visit: a new word on the merchant is no new amount.
unsettled as (
    select
        {%- for column in version + moments %}
        placed.{{ column }},
        {%- endfor %}
        placed.is_customer_initiated and not kinds.is_visit as is_customer_initiated,
        placed.is_purchase and not kinds.is_visit as is_purchase,
        case when kinds.is_visit then 0 else placed.spend_amount end as spend_amount,
        kinds.is_visit,
        case when kinds.is_visit then placed.merchant end as merchant,
        case when kinds.is_visit then placed.place end as place
    from placed
    cross join kinds
    where (placed.is_late or placed.has_ended) and (placed.is_customer_initiated or not kinds.is_visit)
),

-- Rows that follow each other and say the same are one stretch.
compared as (
    select
        *,
        coalesce(
            lag(superseded_at) over understandings = known_at
            {%- for term in payment_terms + visit_terms %}
            and lag({{ term }}) over understandings is not distinct from {{ term }}
            {%- endfor %},
            false
        ) as is_continued
    from unsettled
    window understandings as (partition by transaction_key, version, is_visit order by known_at)
),

numbered as (
    select
        *,
        sum(case when is_continued then 0 else 1 end) over (
            partition by transaction_key, version, is_visit order by known_at
        ) as stretch
    from compared
),

stretched as (
    select
        *,
        max(coalesce(superseded_at, cast('9999-12-31' as timestamp))) over (
            partition by transaction_key, version, is_visit, stretch
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
    where not stretched.is_continued
),

changed as (
    select
        dated.*,
        dated.is_visit and (
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
        {%- for column in version + payment_terms + visit_terms %}
        {{ column }},
        {%- endfor %}
        is_scored,
        first_seen_on,
        last_seen_on
    from {{ part }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

needed as (
    select seen.*
    from seen
    left join described on seen.client_id = described.client_id and seen.customer_id = described.customer_id
    left join reporting on seen.client_id = reporting.client_id
    where described.customer_id is not null or reporting.client_id is not null
)

select * from needed
