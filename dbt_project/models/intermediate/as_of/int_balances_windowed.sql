{%- set window_start = "cast(" ~ dbt.dateadd('day', -89, 'as_of_date') ~ " as date)" %}
{%- set window_end = "cast(" ~ dbt.dateadd('day', 1, 'as_of_date') ~ " as date)" %}

with

dates as (
    select
        client_id,
        as_of_date,
        {{ window_start }} as window_start,
        {{ window_end }} as window_end
    from {{ ref('int_dates_to_build') }}
),

days as (
    select * from {{ ref('int_days_to_build') }}
    where days_ago < 90
),

seen as (
    select * from {{ ref('int_balances_seen') }}
),

customers as (
    select
        client_id,
        customer_id,
        as_of_date,
        min(balance_date) as first_date
    from seen
    group by client_id, customer_id, as_of_date
),

-- Nothing changes on days on which a window begins or ends, but then what holds from one day to the next is in a window
-- or is not.
steps as (
    select
        client_id,
        customer_id,
        as_of_date,
        balance_date,
        balance_after - coalesce(balance_before, 0) as balance_change,
        case when balance_after < 0 then 1 else 0 end - case when balance_before < 0 then 1 else 0 end
            as below_zero_change
    from seen
    {%- for end in ['window_start', 'window_end'] %}
    union all
    select
        customers.client_id,
        customers.customer_id,
        customers.as_of_date,
        dates.{{ end }} as balance_date,
        0 as balance_change,
        0 as below_zero_change
    from customers
    inner join dates
        on
            customers.client_id = dates.client_id
            and customers.first_date < dates.{{ end }}
            and (customers.as_of_date is null or customers.as_of_date = dates.as_of_date)
    {%- endfor %}
),

changes as (
    select
        client_id,
        customer_id,
        as_of_date,
        balance_date,
        sum(balance_change) as balance_change,
        sum(below_zero_change) as below_zero_change
    from steps
    group by client_id, customer_id, as_of_date, balance_date
),

-- All accounts together, from each day of a change until the next.
totals as (
    select
        client_id,
        customer_id,
        as_of_date,
        balance_date,
        sum(balance_change) over customer_days as balance,
        sum(below_zero_change) over customer_days as accounts_below_zero,
        {{ days_between('balance_date', 'lead(balance_date) over customer_days') }} as day_count
    from changes
    window customer_days as (partition by client_id, customer_id, as_of_date order by balance_date)
),

windowed as (
    select
        totals.client_id,
        totals.customer_id,
        days.as_of_date,
        totals.as_of_date as only_date,
        cast(cast(sum(totals.balance * totals.day_count) as double) / sum(totals.day_count) as float)
            as avg_balance_90d,
        cast(min(totals.balance) as float) as min_balance_90d,
        cast(sum(case when totals.accounts_below_zero > 0 then totals.day_count else 0 end) as float)
            as overdraft_days_90d
    from days
    inner join totals
        on
            days.client_id = totals.client_id
            and days.business_date = totals.balance_date
            and (totals.as_of_date is null or days.as_of_date = totals.as_of_date)
    group by totals.client_id, totals.customer_id, days.as_of_date, totals.as_of_date
),

-- What a date sees for itself takes the place of what all dates see.
chosen as (
    select
        windowed.client_id,
        windowed.customer_id,
        windowed.as_of_date,
        windowed.avg_balance_90d,
        windowed.min_balance_90d,
        windowed.overdraft_days_90d
    from windowed
    left join customers using (client_id, customer_id, as_of_date)
    where windowed.only_date is not null or customers.customer_id is null
)

select * from chosen
