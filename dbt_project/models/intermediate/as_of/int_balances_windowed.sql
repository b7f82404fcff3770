{%- set window_start = "cast(" ~ dbt.dateadd('day', -89, 'as_of_date') ~ " as date)" %}
{%- set window_end = "cast(" ~ dbt.dateadd('day', 1, 'as_of_date') ~ " as date)" %}

with

dates as (
    select
        *,
        {{ window_start }} as window_start
    from {{ ref('int_dates_to_build') }}
),

accounts as (
    select * from {{ ref('int_accounts_as_of') }}
    where type in ('current', 'savings', 'wallet')
),

-- Closings of the window, and the one before it that is carried into it.
known as (
    select
        dates.client_id,
        closings.account_id,
        dates.as_of_date,
        closings.balance_after,
        lag(closings.balance_after) over account_date as balance_before,
        greatest(closings.balance_date, dates.window_start) as balance_date
    from dates
    inner join {{ ref('int_account_closings') }} as closings
        on
            dates.client_id = closings.client_id
            and dates.as_of_date >= closings.balance_date
            and dates.window_start < coalesce(closings.next_date, cast('9999-12-31' as date))
            and dates.cutoff_at > closings.known_from
            and dates.cutoff_at <= closings.known_until
    window account_date as (
        partition by dates.client_id, closings.account_id, dates.as_of_date
        order by closings.balance_date, closings.place
    )
),

changes as (
    select
        accounts.client_id,
        accounts.customer_id,
        accounts.as_of_date,
        known.balance_date,
        sum(known.balance_after - coalesce(known.balance_before, 0)) as balance_change,
        sum(
            case when known.balance_after < 0 then 1 else 0 end - case when known.balance_before < 0 then 1 else 0 end
        ) as below_zero_change
    from known
    inner join accounts using (client_id, account_id, as_of_date)
    group by accounts.client_id, accounts.customer_id, accounts.as_of_date, known.balance_date
),

-- All accounts together, from each day of a change until the next.
totals as (
    select
        client_id,
        customer_id,
        as_of_date,
        sum(balance_change) over customer_date as balance,
        sum(below_zero_change) over customer_date as accounts_below_zero,
        {{ days_between('balance_date', 'coalesce(lead(balance_date) over customer_date, ' ~ window_end ~ ')') }}
            as day_count
    from changes
    window customer_date as (partition by client_id, customer_id, as_of_date order by balance_date)
),

windowed as (
    select
        client_id,
        customer_id,
        as_of_date,
        cast(cast(sum(balance * day_count) as double) / sum(day_count) as float) as avg_balance_90d,
        cast(min(balance) as float) as min_balance_90d,
        cast(sum(case when accounts_below_zero > 0 then day_count else 0 end) as float) as overdraft_days_90d
    from totals
    group by client_id, customer_id, as_of_date
)

select * from windowed
