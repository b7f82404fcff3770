{{ config(schema='as_of') }}

with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

movements as (
    select * from {{ ref('int_lending_movements') }}
    where is_returned_debit
),

returned as (
    select
        dates.client_id,
        movements.customer_id,
        dates.as_of_date,
        cast(sum(movements.movements) as float) as returned_debits_90d
    from dates
    inner join movements
        on
            dates.client_id = movements.client_id
            and dates.as_of_date >= movements.business_date
            and dates.cutoff_at > movements.known_from
            and dates.cutoff_at <= movements.known_until
    where movements.business_date > cast({{ dbt.dateadd('day', -90, 'dates.as_of_date') }} as date)
    group by dates.client_id, movements.customer_id, dates.as_of_date
)

select * from returned
