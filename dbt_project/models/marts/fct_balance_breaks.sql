-- depends_on: {{ ref('int_reopened_bookings') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_reopened('broken_date') }}",
    )
}}

with

{%- if is_incremental() %}

-- The last balance before the days that are looked at again.
anchors as (
    select
        told_days.client_id,
        told_days.account_id,
        told_days.currency,
        max(told_days.balance_date) as balance_date
    from {{ ref('int_account_days') }} as told_days
    inner join {{ ref('int_reopened_bookings') }} as reopened
        on told_days.client_id = reopened.client_id and told_days.balance_date < reopened.reopened_from
    where told_days.closing_balance is not null
    group by told_days.client_id, told_days.account_id, told_days.currency
),

days as (
    select told_days.*
    from {{ ref('int_account_days') }} as told_days
    inner join {{ ref('int_reopened_bookings') }} as reopened on told_days.client_id = reopened.client_id
    left join anchors
        on
            told_days.client_id = anchors.client_id
            and told_days.account_id = anchors.account_id
            and told_days.currency = anchors.currency
    where told_days.balance_date >= coalesce(anchors.balance_date, reopened.reopened_from)
),
{%- else %}

days as (
    select * from {{ ref('int_account_days') }}
),
{%- endif %}

cumulated as (
    select
        *,
        sum(moved) over (partition by client_id, account_id, currency order by balance_date) as moved_so_far
    from days
),

followed as (
    select
        *,
        lag(balance_date) over days_of_account as previous_date,
        lag(closing_balance) over days_of_account as previous_balance,
        moved_so_far - lag(moved_so_far) over days_of_account as moved_since,
        closing_if_reversed - lag(closing_if_reversed) over days_of_account as change_if_reversed
    from cumulated
    where closing_balance is not null
    window days_of_account as (partition by client_id, account_id, currency order by balance_date)
),

-- Statements run from the oldest row to the newest or the other way: a balance is broken when it follows in neither.
broken as (
    select * from followed
    where closing_balance - previous_balance <> moved_since and change_if_reversed <> moved_since
),

listed as (
    select
        broken.client_id,
        broken.account_id,
        told.customer_id,
        told.source,
        told.transaction_key,
        broken.currency,
        cast(broken.previous_balance as decimal(18, 4)) as previous_balance,
        cast(broken.moved_since as decimal(18, 4)) as moved_amount,
        cast(broken.closing_balance as decimal(18, 4)) as closing_balance,
        cast(
            broken.closing_balance - broken.previous_balance - broken.moved_since as decimal(18, 4)
        ) as unexplained_amount,
        told.amount,
        told.balance_after,
        broken.previous_date,
        broken.balance_date as broken_date,
        told.business_date,
        told._load_id,
        told._record
    from broken
    inner join {{ ref('int_movements') }} as told
        on
            broken.client_id = told.client_id
            and broken.account_id = told.account_id
            and broken.currency = told.currency
            and broken.previous_date < told.booking_date
            and broken.balance_date >= told.booking_date
    where told.valid_to is null and coalesce(told.status, 'posted') <> 'pending'
)

select * from listed
