{#- What is new, what has ended, and how long a customer must have been seen before something counts as new. -#}
{%- set new_days = 120 %}
{%- set ended_days = 60 %}
{%- set seen_days = 90 %}

with

days as (
    select * from {{ ref('int_days_to_build') }}
),

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

latest as (
    select * from {{ ref('int_transactions_latest') }}
),

rhythm as (
    select
        dates.as_of_date,
        rhythm.client_id,
        rhythm.customer_id,
        rhythm.kind,
        rhythm.payee,
        rhythm.instalment,
        rhythm.amount,
        rhythm.business_date,
        rhythm.regular_since,
        rhythm.active_until
    from {{ ref('int_recurring_rhythm') }} as rhythm
    inner join dates
        on
            rhythm.client_id = dates.client_id
            and rhythm.business_date <= dates.as_of_date
            and (rhythm.as_of_date is null or rhythm.as_of_date = dates.as_of_date)
),

series as (
    select
        client_id,
        customer_id,
        kind,
        payee,
        count(*) + 1 as payments,
        {{ value_at_last('amount', ['business_date', 'instalment']) }} as amount,
        min(regular_since) as began_on,
        max(business_date) as last_paid_on,
        max(active_until) as active_until,
        as_of_date
    from rhythm
    group by client_id, customer_id, kind, payee, instalment, as_of_date
),

pay as (
    select * from {{ ref('int_pay_changes') }}
),

cities as (
    select
        days.as_of_date,
        paid.client_id,
        paid.customer_id,
        paid.city,
        sum(case when days.days_ago < 60 then 1 else 0 end) as payments_now,
        sum(case when days.days_ago >= 60 then 1 else 0 end) as payments_before,
        min(case when days.days_ago < 60 then paid.business_date end) as first_day,
        max(case when days.days_ago < 60 then paid.business_date end) as last_day
    from (
        select * from {{ ref('int_transactions_to_count') }}
        where is_customer_initiated and city is not null and first_days_ago < 180
    ) as paid
    inner join days
        on
            paid.client_id = days.client_id
            and paid.stretch_end = days.business_date
            and paid.known_from < days.cutoff_at
            and paid.known_until >= days.cutoff_at
    where days.days_ago < 180
    group by days.as_of_date, paid.client_id, paid.customer_id, paid.city
),

shared as (
    select
        *,
        sum(payments_now) over (partition by client_id, customer_id, as_of_date) as all_now,
        sum(payments_before) over (partition by client_id, customer_id, as_of_date) as all_before
    from cities
),

signals as (
    select
        series.client_id,
        series.customer_id,
        'series_began' as kind,
        series.kind as category,
        series.payee as series,
        cast(series.payments as integer) as payments_now,
        cast(series.amount as decimal(18, 4)) as amount_now,
        cast(0 as decimal(18, 4)) as usual_amount,
        series.began_on as since_date,
        series.last_paid_on as last_date,
        series.as_of_date
    from series
    inner join latest
        on
            series.client_id = latest.client_id
            and series.customer_id = latest.customer_id
            and series.as_of_date = latest.as_of_date
    where
        series.began_on > cast({{ dbt.dateadd('day', -new_days, 'series.as_of_date') }} as date)
        and series.began_on >= cast({{ dbt.dateadd('day', seen_days, 'latest.first_transaction_date') }} as date)
        and series.active_until >= series.as_of_date
    union all
    select
        client_id,
        customer_id,
        'series_ended' as kind,
        kind as category,
        payee as series,
        cast(payments as integer) as payments_now,
        cast(0 as decimal(18, 4)) as amount_now,
        cast(amount as decimal(18, 4)) as usual_amount,
        active_until as since_date,
        last_paid_on as last_date,
        as_of_date
    from series
    where
        active_until < as_of_date
        and active_until > cast({{ dbt.dateadd('day', -ended_days, 'as_of_date') }} as date)
    union all
    select
        client_id,
        customer_id,
        kind,
        null as category,
        payer as series,
        1 as payments_now,
        income as amount_now,
        income_before as usual_amount,
        since_date,
        business_date as last_date,
        as_of_date
    from pay
    union all
    select
        client_id,
        customer_id,
        'city_changed' as kind,
        null as category,
        city as series,
        cast(payments_now as integer) as payments_now,
        cast(null as decimal(18, 4)) as amount_now,
        cast(null as decimal(18, 4)) as usual_amount,
        first_day as since_date,
        last_day as last_date,
        as_of_date
    from shared
    where
        payments_now >= 5
        and payments_now * 10 >= all_now * 6
        and payments_before * 10 < all_before * 2
        and all_before >= 10
)

select * from signals
