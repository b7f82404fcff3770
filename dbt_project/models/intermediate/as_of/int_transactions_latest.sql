{{ config(materialized='table') }}

with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

transactions as (
    select * from {{ ref('int_transactions_to_count') }}
),

-- Of the days between two dates to build, only the first and the last can be what a date looks for.
stretches as (
    select
        client_id,
        customer_id,
        first_date,
        known_from,
        known_until,
        min(business_date) as first_day,
        max(case when is_customer_initiated then business_date end) as last_day,
        max(case when income_amount > 0 then business_date end) as last_income_day
    from transactions
    group by client_id, customer_id, first_date, known_from, known_until
),

latest as (
    select
        stretches.client_id,
        stretches.customer_id,
        dates.as_of_date,
        min(stretches.first_day) as first_transaction_date,
        max(stretches.last_day) as last_transaction_date,
        max(stretches.last_income_day) as last_income_date
    from dates
    inner join stretches
        on
            dates.client_id = stretches.client_id
            and dates.as_of_date >= stretches.first_date
            and dates.cutoff_at > stretches.known_from
            and dates.cutoff_at <= stretches.known_until
    group by stretches.client_id, stretches.customer_id, dates.as_of_date
)

select * from latest
