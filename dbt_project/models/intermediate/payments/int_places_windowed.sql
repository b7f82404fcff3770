{%- set place = 'partition by client_id, kind, place, as_of_date order by event_at' %}
{%- set frame = "range between interval '{}' preceding and interval '1 microsecond' preceding" %}

with

first_reports as (
    select
        client_id,
        min(known_at) as known_at
    from {{ ref('int_fraud_reports') }}
    group by client_id
),

-- Payments of all customers are read where frauds are reported only.
visits as (
    select
        seen.client_id,
        seen.transaction_key,
        seen.merchant,
        seen.terminal_id,
        seen.is_scored,
        seen.first_seen_on,
        coalesce(seen.last_seen_on, cast('9999-12-31' as date)) as last_seen_on,
        cast(seen.event_at as date) as event_day,
        seen.event_at
    from {{ ref('int_payments_seen') }} as seen
    inner join first_reports on seen.client_id = first_reports.client_id
    where seen.is_visit and seen.event_at is not null
),

reporting_dates as (
    select
        dates.client_id,
        dates.as_of_date
    from {{ ref('int_dates_in_order') }} as dates
    inner join first_reports
        on dates.client_id = first_reports.client_id and dates.cutoff_at > first_reports.known_at
),

at_places as (
    {%- for kind, column in [('merchant', 'merchant'), ('terminal', 'terminal_id')] %}
    select
        client_id,
        transaction_key,
        '{{ kind }}' as kind,
        {{ column }} as place,
        is_scored,
        first_seen_on,
        last_seen_on,
        event_day,
        event_at
    from visits
    where {{ column }} {{ "<> 'unknown'" if kind == 'merchant' else 'is not null' }}
    {{ "union all" if not loop.last }}
    {%- endfor %}
),

days as (
    select 0 as days_ago
    union all
    select -1 as days_ago
),

-- The days (of UTC) on which a date has something to describe at a place, and those before: 24 hours reach no further.
wanted as (
    select distinct
        at_places.client_id,
        at_places.kind,
        at_places.place,
        at_places.first_seen_on as as_of_date,
        cast({{ dbt.dateadd('day', 'days.days_ago', 'at_places.event_day') }} as date) as event_day
    from at_places
    inner join reporting_dates
        on
            at_places.client_id = reporting_dates.client_id
            and at_places.first_seen_on = reporting_dates.as_of_date
    cross join days
    where at_places.is_scored
),

entries as (
    select
        wanted.as_of_date,
        at_places.*,
        at_places.is_scored and at_places.first_seen_on = wanted.as_of_date as is_described
    from wanted
    inner join at_places
        on
            wanted.client_id = at_places.client_id
            and wanted.kind = at_places.kind
            and wanted.place = at_places.place
            and wanted.event_day = at_places.event_day
            and wanted.as_of_date >= at_places.first_seen_on
            and wanted.as_of_date <= at_places.last_seen_on
),

windowed as (
    select
        client_id,
        transaction_key,
        as_of_date,
        kind,
        is_described,
        count(*) over ({{ place }} {{ frame.format('1 hour') }}) as transactions_1h,
        count(*) over ({{ place }} {{ frame.format('24 hours') }}) as transactions_24h
    from entries
),

described as (
    select
        client_id,
        transaction_key,
        as_of_date,
        max(case when kind = 'merchant' then transactions_1h end) as merchant_transactions_1h,
        max(case when kind = 'terminal' then transactions_1h end) as terminal_transactions_1h,
        max(case when kind = 'terminal' then transactions_24h end) as terminal_transactions_24h
    from windowed
    where is_described
    group by client_id, transaction_key, as_of_date
)

select * from described
