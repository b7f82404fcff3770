-- depends_on: {{ ref('int_reopened_bookings') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ delete_reopened('balance_date') }}",
    )
}}

{#- A join, because DuckDB then reads the days from there on; asked whether such a row exists, it reads all of them. -#}
{%- set reopened_only -%}
inner join {{ ref('int_reopened_bookings') }} as reopened
        on movements.client_id = reopened.client_id and movements.booking_date >= reopened.reopened_from
{%- endset %}
{%- set order = ['booked_at', 'version_known_at', '_load_id', '_record'] %}

with

-- A balance belongs to the day of booking, which for a card is often later than the purchase.
booked as (
    select
        movements.client_id,
        movements.account_id,
        movements.currency,
        movements.amount,
        movements.balance_after,
        movements.booking_date as balance_date,
        coalesce(
            movements.booked_at, movements.event_at, cast(movements.business_date as timestamp)
        ) as booked_at,
        movements.known_at as version_known_at,
        movements._load_id,
        movements._record
    from {{ ref('int_movements') }} as movements
    {{ reopened_only if is_incremental() }}
    where movements.valid_to is null and coalesce(movements.status, 'posted') <> 'pending'
),

-- Windows instead of an aggregate of the last value: that one cannot leave memory, and fifty million rows do not fit.
placed as (
    select
        *,
        row_number() over (
            partition by client_id, account_id, currency, balance_date
            order by case when balance_after is null then 1 else 0 end, {{ order | join(', ') }}
        ) as place,
        count(balance_after) over account_day as balances,
        sum(amount) over account_day as moved
    from booked
    window account_day as (partition by client_id, account_id, currency, balance_date)
),

-- Statements run from the oldest row to the newest or the other way, and dates alone do not tell which.
days as (
    select
        client_id,
        account_id,
        currency,
        cast(max(moved) as decimal(18, 4)) as moved,
        max(case when place = balances then balance_after end) as closing_balance,
        max(case when place = 1 then balance_after end) as closing_if_reversed,
        balance_date
    from placed
    where place in (1, balances)
    group by client_id, account_id, currency, balance_date
)

select * from days
