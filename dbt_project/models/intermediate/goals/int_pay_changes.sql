{%- set new_days = 120 %}
{%- set pause_days = 45 %}

with

dates as (
    select * from {{ ref('int_dates_to_build') }}
),

salaries as (
    select
        dates.as_of_date,
        paid.client_id,
        paid.customer_id,
        paid.merchant as payer,
        paid.business_date,
        sum(paid.income_amount) as income
    from {{ ref('int_transactions_to_count') }} as paid
    inner join dates
        on
            paid.client_id = dates.client_id
            and paid.business_date <= dates.as_of_date
            and paid.business_date > cast({{ dbt.dateadd('day', -365, 'dates.as_of_date') }} as date)
            and paid.known_from < dates.cutoff_at
            and paid.known_until >= dates.cutoff_at
    where paid.first_days_ago < 365 and paid.subcategory = 'salary' and paid.income_amount > 0
    group by dates.as_of_date, paid.client_id, paid.customer_id, paid.merchant, paid.business_date
),

-- A standing payer has paid three times. Whoever is paid by two at once has no new one.
paydays as (
    select
        *,
        lag(payer) over payday as payer_before,
        lag(income) over payday as income_before,
        lag(business_date) over payday as paid_before,
        count(*) over (partition by client_id, customer_id, as_of_date, payer order by business_date) as paid_so_far,
        max(business_date) over (partition by client_id, customer_id, as_of_date, payer) as last_paid_by_payer
    from salaries
    window payday as (partition by client_id, customer_id, as_of_date order by business_date, payer)
),

compared as (
    select
        paydays.*,
        earlier.paid_so_far as paid_by_payer_before,
        earlier.last_paid_by_payer as last_paid_by_payer_before
    from paydays
    inner join paydays as earlier
        on
            paydays.client_id = earlier.client_id
            and paydays.customer_id = earlier.customer_id
            and paydays.as_of_date = earlier.as_of_date
            and paydays.payer_before = earlier.payer
            and paydays.paid_before = earlier.business_date
    where
        earlier.paid_so_far >= 3
        and paydays.business_date > cast({{ dbt.dateadd('day', -new_days, 'paydays.as_of_date') }} as date)
),

changes as (
    select
        client_id,
        customer_id,
        'pay_changed' as kind,
        payer,
        cast(income as decimal(18, 4)) as income,
        cast(income_before as decimal(18, 4)) as income_before,
        business_date as since_date,
        business_date,
        as_of_date
    from compared
    where payer <> payer_before and paid_so_far = 1 and last_paid_by_payer_before < business_date
    union all
    select
        client_id,
        customer_id,
        'pay_paused' as kind,
        payer,
        cast(income as decimal(18, 4)) as income,
        cast(income_before as decimal(18, 4)) as income_before,
        paid_before as since_date,
        business_date,
        as_of_date
    from compared
    where {{ days_between('paid_before', 'business_date') }} > {{ pause_days }}
)

select * from changes
