with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

rhythm as (
    select * from {{ ref('int_recurring_rhythm') }}
    where kind <> 'salary'
),

active as (
    select distinct
        dates.client_id,
        rhythm.customer_id,
        dates.as_of_date,
        rhythm.kind,
        rhythm.payee,
        rhythm.instalment
    from dates
    inner join rhythm
        on
            dates.client_id = rhythm.client_id
            and dates.as_of_date >= rhythm.business_date
            and dates.as_of_date <= rhythm.active_until
            and (rhythm.as_of_date is null or dates.as_of_date = rhythm.as_of_date)
),

counted as (
    select
        client_id,
        customer_id,
        as_of_date,
        count(*) as active_recurring_payments
    from active
    group by client_id, customer_id, as_of_date
)

select * from counted
