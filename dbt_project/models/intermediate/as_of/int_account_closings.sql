{{ config(materialized='table') }}

{%- set always = "known_from = cast('1970-01-01' as timestamp) and known_until = cast('9999-12-31' as timestamp)" %}
{#- A row that is understood anew keeps its place in the day. -#}
{%- set order = ['booked_at', 'version_known_at', '_load_id', '_record', 'known_at'] %}

with

days as (
    select * from {{ ref('int_business_days') }}
),

-- Where the first window of balances begins, and the last one ends.
windows as (
    select
        client_id,
        cast({{ dbt.dateadd('day', -89, 'min(as_of_date)') }} as date) as first_day,
        max(as_of_date) as last_day
    from {{ ref('int_dates_to_build') }}
    group by client_id
),

-- What every date knows gets the same two moments, as in int_transactions_to_count.
seen as (
    select
        booked.*,
        windows.first_day,
        case
            when booked.known_at < days.first_cutoff_at then cast('1970-01-01' as timestamp) else booked.known_at
        end as known_from,
        case
            when booked.superseded_at < coalesce(days.last_cutoff_at, cast('9999-12-31' as timestamp))
                then booked.superseded_at
            else cast('9999-12-31' as timestamp)
        end as known_until
    from {{ ref('int_balances_booked') }} as booked
    inner join windows on booked.client_id = windows.client_id and booked.balance_date <= windows.last_day
    left join days on booked.client_id = days.client_id and booked.balance_date = days.business_date
    where
        coalesce(booked.known_at < days.last_cutoff_at, true)
        and coalesce(booked.superseded_at >= days.first_cutoff_at, true)
),

-- The balance that is carried into the first window, or holds on its first day.
carried as (
    select
        client_id,
        account_id,
        max(balance_date) as balance_date
    from seen
    where balance_date <= first_day and {{ always }}
    group by client_id, account_id
),

in_reach as (
    select seen.*
    from seen
    left join carried on seen.client_id = carried.client_id and seen.account_id = carried.account_id
    where carried.balance_date is null or seen.balance_date >= carried.balance_date
),

-- Of what every date knows only the last row of a day can be the closing. By a window, which can leave memory.
settled as (
    select
        client_id,
        account_id,
        balance_after,
        balance_date
    from (
        select
            client_id,
            account_id,
            balance_after,
            balance_date,
            row_number() over (
                partition by client_id, account_id, balance_date
                order by {{ order | join(' desc, ') }} desc
            ) as place_from_last
        from in_reach
        where {{ always }}
    ) as with_place
    where place_from_last = 1
),

unsettled_days as (
    select distinct
        client_id,
        account_id,
        balance_date
    from in_reach
    where not ({{ always }})
),

placed as (
    select
        in_reach.*,
        row_number() over (
            partition by in_reach.client_id, in_reach.account_id, in_reach.balance_date
            order by {{ order | join(', ') }}
        ) as place
    from in_reach
    inner join unsettled_days using (client_id, account_id, balance_date)
),

-- What only some dates know can be the closing if it comes after that row.
unsettled as (
    select * from (
        select
            *,
            max(case when {{ always }} then place else 0 end) over (
                partition by client_id, account_id, balance_date
            ) as settled_place
        from placed
    ) as with_settled_place
    where place > settled_place
),

followed as (
    select
        client_id,
        account_id,
        balance_after,
        lag(balance_after) over account_days as balance_before,
        balance_date,
        lead(balance_date) over account_days as next_date
    from settled
    window account_days as (partition by client_id, account_id order by balance_date)
),

closings as (
    select
        *,
        0 as place,
        true as is_settled,
        cast('1970-01-01' as timestamp) as known_from,
        cast('9999-12-31' as timestamp) as known_until
    from followed
    union all
    select
        unsettled.client_id,
        unsettled.account_id,
        unsettled.balance_after,
        null as balance_before,
        unsettled.balance_date,
        min(followed.balance_date) as next_date,
        unsettled.place,
        false as is_settled,
        unsettled.known_from,
        unsettled.known_until
    from unsettled
    left join followed
        on
            unsettled.client_id = followed.client_id
            and unsettled.account_id = followed.account_id
            and unsettled.balance_date < followed.balance_date
    group by
        unsettled.client_id,
        unsettled.account_id,
        unsettled.balance_after,
        unsettled.balance_date,
        unsettled.place,
        unsettled.known_from,
        unsettled.known_until
)

select * from closings
