{{ config(materialized='table') }}

with

dates as (
    select * from {{ ref('int_dates_in_order') }}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

days as (
    select distinct
        client_id,
        business_date
    from {{ ref('int_transactions') }}
),

-- A moved cutoff still comes before the next date's, so the first date has the first cutoff.
first_dates as (
    select
        days.client_id,
        days.business_date,
        min(dates.as_of_date) as first_date,
        max(dates.cutoff_at) as last_cutoff_at
    from days
    inner join dates on days.client_id = dates.client_id and days.business_date <= dates.as_of_date
    group by days.client_id, days.business_date
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
        dates.is_only_date,
        {{ local_midnight('first_dates.business_date', 'clients.timezone') }} as starts_at,
        {{ local_midnight("first_dates.business_date + interval '1' day", 'clients.timezone') }}
        - interval '1' microsecond as ends_at
    from first_dates
    inner join dates on first_dates.client_id = dates.client_id and first_dates.first_date = dates.as_of_date
    inner join clients on first_dates.client_id = clients.client_id
)

select * from in_order
