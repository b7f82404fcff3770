{%- set window_start = "cast(" ~ dbt.dateadd('day', -89, 'as_of_date') ~ " as date)" %}

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

closings as (
    select * from {{ ref('int_account_closings') }}
),

begins as (
    select
        client_id,
        account_id,
        min(balance_date) as first_date
    from closings
    group by client_id, account_id
),

-- Accounts that each date from their first balance on knows as the same customer's.
steady as (
    select
        begins.client_id,
        begins.account_id,
        min(accounts.customer_id) as customer_id
    from begins
    inner join dates on begins.client_id = dates.client_id and begins.first_date <= dates.as_of_date
    left join accounts
        on
            begins.client_id = accounts.client_id
            and begins.account_id = accounts.account_id
            and dates.as_of_date = accounts.as_of_date
    group by begins.client_id, begins.account_id
    having count(*) = count(accounts.customer_id) and min(accounts.customer_id) = max(accounts.customer_id)
),

-- Customers of whom a date knows what not all dates know. Nearly all others are looked at once for all dates.
apart as (
    select distinct
        accounts.client_id,
        accounts.customer_id,
        accounts.as_of_date
    from dates
    inner join accounts using (client_id, as_of_date)
    inner join begins using (client_id, account_id)
    left join steady using (client_id, account_id)
    left join closings
        on
            accounts.client_id = closings.client_id
            and accounts.account_id = closings.account_id
            and not closings.is_settled
            and dates.as_of_date >= closings.balance_date
            and dates.window_start < coalesce(closings.next_date, cast('9999-12-31' as date))
            and dates.cutoff_at > closings.known_from
            and dates.cutoff_at <= closings.known_until
    where steady.account_id is null or closings.account_id is not null
),

seen_apart as (
    select
        accounts.client_id,
        accounts.customer_id,
        accounts.as_of_date,
        closings.balance_after,
        lag(closings.balance_after) over (
            partition by accounts.client_id, accounts.account_id, accounts.as_of_date
            order by closings.balance_date, closings.place
        ) as balance_before,
        closings.balance_date
    from apart
    inner join dates using (client_id, as_of_date)
    inner join accounts using (client_id, customer_id, as_of_date)
    inner join closings
        on
            accounts.client_id = closings.client_id
            and accounts.account_id = closings.account_id
            and dates.as_of_date >= closings.balance_date
            and dates.window_start < coalesce(closings.next_date, cast('9999-12-31' as date))
            and dates.cutoff_at > closings.known_from
            and dates.cutoff_at <= closings.known_until
),

seen as (
    select
        steady.client_id,
        steady.customer_id,
        cast(null as date) as as_of_date,
        closings.balance_after,
        closings.balance_before,
        closings.balance_date
    from closings
    inner join steady using (client_id, account_id)
    where closings.is_settled
    union all
    select * from seen_apart
)

select * from seen
