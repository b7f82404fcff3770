{{ config(materialized='table') }}

{#- Where the windows of features begin and end, in days before the as-of date. -#}
{%- set window_ends = [0, 30, 60, 90, 120, 150, 180, 335, 365] %}

with

dates as (
    select * from {{ ref('int_dates_to_build') }}
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

ends as (
    {%- for days_ago in window_ends %}
    select
        client_id,
        cast({{ dbt.dateadd('day', -days_ago, 'as_of_date') }} as date) as stretch_end
    from dates
    {{ "union" if not loop.last }}
    {%- endfor %}
),

first_dates as (
    select
        days.client_id,
        days.business_date,
        min(dates.as_of_date) as first_date,
        min(dates.cutoff_at) as first_cutoff_at,
        max(dates.cutoff_at) as last_cutoff_at
    from days
    inner join dates on days.client_id = dates.client_id and days.business_date <= dates.as_of_date
    group by days.client_id, days.business_date
),

-- No window begins or ends within a stretch, so all its days are in the same windows.
stretched as (
    select
        first_dates.client_id,
        first_dates.business_date,
        first_dates.first_date,
        {{ days_between('first_dates.business_date', 'first_dates.first_date') }} as first_days_ago,
        min(ends.stretch_end) as stretch_end,
        first_dates.first_cutoff_at,
        first_dates.last_cutoff_at
    from first_dates
    inner join ends on first_dates.client_id = ends.client_id and first_dates.business_date <= ends.stretch_end
    group by
        first_dates.client_id,
        first_dates.business_date,
        first_dates.first_date,
        first_dates.first_cutoff_at,
        first_dates.last_cutoff_at
),

begun as (
    select
        stretched.*,
        {{ local_midnight('stretched.business_date', 'clients.timezone') }} as starts_at,
        {{ local_midnight("stretched.business_date + interval '1' day", 'clients.timezone') }} as ends_at
    from stretched
    inner join clients on stretched.client_id = clients.client_id
)

select * from begun
