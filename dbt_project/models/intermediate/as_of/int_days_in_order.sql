{{ config(materialized='table') }}

with

dates as (
    select * from {{ ref('int_dates_in_order') }}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

-- No window looks back further than a year from the first payment that is looked at.
begins as (
    select
        client_id,
        min(coalesce(previous_as_of_date, cast('0001-01-01' as date))) as last_date,
        min(coalesce(previous_cutoff_at, cast('0001-01-01' as timestamp))) as last_cutoff_at
    from dates
    group by client_id
),

first_days as (
    select
        transactions.client_id,
        cast({{ dbt.dateadd('day', -366, 'min(transactions.business_date)') }} as date) as first_day
    from {{ ref('int_transactions') }} as transactions
    inner join begins on transactions.client_id = begins.client_id
    where
        transactions.business_date > begins.last_date
        or transactions.version_known_at >= begins.last_cutoff_at
    group by transactions.client_id
),

days as (
    select
        transactions.client_id,
        transactions.business_date,
        max(transactions.version_known_at) as last_known_at
    from {{ ref('int_transactions') }} as transactions
    inner join first_days
        on transactions.client_id = first_days.client_id and transactions.business_date >= first_days.first_day
    group by transactions.client_id, transactions.business_date
),

-- A moved cutoff still comes before the next date's, so the first date has the first cutoff.
first_dates as (
    select
        days.client_id,
        days.business_date,
        days.last_known_at,
        min(dates.as_of_date) as first_date,
        max(dates.cutoff_at) as last_cutoff_at
    from days
    inner join dates on days.client_id = dates.client_id and days.business_date <= dates.as_of_date
    group by days.client_id, days.business_date, days.last_known_at
),

in_order as (
    select
        first_dates.client_id,
        first_dates.business_date,
        first_dates.first_date,
        dates.previous_as_of_date,
        dates.cutoff_at as first_cutoff_at,
        dates.previous_cutoff_at,
        first_dates.last_cutoff_at,
        dates.is_one_more,
        dates.previous_as_of_date is null
        or first_dates.business_date > dates.previous_as_of_date
        or first_dates.last_known_at >= dates.previous_cutoff_at as has_news,
        first_dates.last_known_at >= dates.cutoff_at as has_late_news,
        {{ local_midnight('first_dates.business_date', 'clients.timezone') }} as starts_at,
        {{ local_midnight("first_dates.business_date + interval '1' day", 'clients.timezone') }}
        - interval '1' microsecond as ends_at
    from first_dates
    inner join dates on first_dates.client_id = dates.client_id and first_dates.first_date = dates.as_of_date
    inner join clients on first_dates.client_id = clients.client_id
)

select * from in_order
