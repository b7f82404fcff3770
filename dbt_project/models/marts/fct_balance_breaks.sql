{{ config(materialized='table') }}

{%- set order = ['booked_at', 'version_known_at', '_load_id', '_record'] %}
{%- set is_booked = "told.superseded_at is null and coalesce(told.status, 'posted') <> 'pending'" %}

with

-- Transactions are read twice: what few of them need is not carried through the sums of all. A balance belongs to the
-- day of booking, which for a card is often later than the purchase.
booked as (
    select
        told.client_id,
        told.account_id,
        told.currency,
        told.amount,
        told.balance_after,
        told.booking_date as balance_date,
        coalesce(told.booked_at, told.event_at) as booked_at,
        told.version_known_at,
        told._load_id,
        told._record
    from {{ ref('int_transactions') }} as told
    where {{ is_booked }}
),

-- Statements run from the oldest row to the newest or the other way, and dates alone do not tell which: a balance is
-- broken when it follows in neither way.
days as (
    select
        client_id,
        account_id,
        currency,
        balance_date,
        sum(amount) as moved,
        {{ value_at_last('balance_after', order) }} as closing_balance,
        {{ value_at_first('balance_after', order) }} as closing_if_reversed
    from booked
    group by client_id, account_id, currency, balance_date
),

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
    inner join {{ ref('int_transactions') }} as told
        on
            broken.client_id = told.client_id
            and broken.account_id = told.account_id
            and broken.currency = told.currency
    where
        {{ is_booked }}
        and told.booking_date > broken.previous_date
        and told.booking_date <= broken.balance_date
)

select * from listed
