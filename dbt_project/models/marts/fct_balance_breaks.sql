{{ config(materialized='table') }}

{%- set order = ['booked_at', 'version_known_at', '_load_id', '_record'] %}

with

accounts as (
    select distinct
        client_id,
        account_id,
        currency
    from {{ ref('int_transactions') }}
    where superseded_at is null and coalesce(status, 'posted') <> 'pending' and balance_after is not null
),

transactions as (
    select
        told.client_id,
        told.source,
        told.customer_id,
        told.account_id,
        told.transaction_key,
        told.currency,
        told.amount,
        told.balance_after,
        told.business_date,
        -- A balance belongs to the day of booking, which for a card is often later than the purchase.
        case
            when told.booked_at is not null then {{ local_date('told.booked_at', 'clients.timezone') }}
            else told.business_date
        end as balance_date,
        coalesce(told.booked_at, told.event_at) as booked_at,
        told.version_known_at,
        told._load_id,
        told._record
    from {{ ref('int_transactions') }} as told
    inner join accounts
        on
            told.client_id = accounts.client_id
            and told.account_id = accounts.account_id
            and told.currency = accounts.currency
    inner join {{ ref('stg_clients') }} as clients on told.client_id = clients.client_id
    where told.superseded_at is null and coalesce(told.status, 'posted') <> 'pending'
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
    from transactions
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
        transactions.customer_id,
        transactions.source,
        transactions.transaction_key,
        broken.currency,
        cast(broken.previous_balance as decimal(18, 4)) as previous_balance,
        cast(broken.moved_since as decimal(18, 4)) as moved_amount,
        cast(broken.closing_balance as decimal(18, 4)) as closing_balance,
        cast(
            broken.closing_balance - broken.previous_balance - broken.moved_since as decimal(18, 4)
        ) as unexplained_amount,
        transactions.amount,
        transactions.balance_after,
        broken.previous_date,
        broken.balance_date as broken_date,
        transactions.business_date,
        transactions._load_id,
        transactions._record
    from broken
    inner join transactions
        on
            broken.client_id = transactions.client_id
            and broken.account_id = transactions.account_id
            and broken.currency = transactions.currency
            and broken.previous_date < transactions.balance_date
            and broken.balance_date >= transactions.balance_date
)

select * from listed
