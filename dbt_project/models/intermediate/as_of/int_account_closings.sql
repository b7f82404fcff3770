{{ config(materialized='table') }}

{%- set always = "known_from = cast('1970-01-01' as timestamp) and known_until = cast('9999-12-31' as timestamp)" %}
{%- set order = [
    'seen.booked_at', 'seen.first_known_at', 'seen._load_id', 'seen._record', 'seen.transaction_key', 'seen.version',
    'seen.known_at',
] %}

with

days as (
    select * from {{ ref('int_business_days') }}
),

understood_anew as (
    select distinct
        transaction_key,
        version -- noqa: RF04
    from {{ ref('int_transactions') }}
    where is_reinterpreted
),

-- A row that is understood anew keeps its place in the day.
first_known as (
    select
        told.transaction_key,
        told.version,
        min(told.known_at) as first_known_at
    from {{ ref('int_transactions') }} as told
    inner join understood_anew
        on told.transaction_key = understood_anew.transaction_key and told.version = understood_anew.version
    group by told.transaction_key, told.version
),

-- A balance belongs to the day of booking, which for a card is often later than the purchase.
booked as (
    select
        transactions.client_id,
        transactions.account_id,
        transactions.balance_after,
        transactions.transaction_key,
        transactions.version,
        case
            when transactions.booked_at is not null then {{ local_date('transactions.booked_at', 'clients.timezone') }}
            else transactions.business_date
        end as balance_date,
        coalesce(
            transactions.booked_at, transactions.event_at, cast(transactions.business_date as timestamp)
        ) as booked_at,
        coalesce(first_known.first_known_at, transactions.known_at) as first_known_at,
        transactions.known_at,
        transactions.superseded_at,
        transactions._load_id,
        transactions._record
    from {{ ref('int_transactions') }} as transactions
    inner join {{ ref('stg_clients') }} as clients
        on transactions.client_id = clients.client_id and transactions.currency = clients.base_currency
    left join first_known
        on
            transactions.transaction_key = first_known.transaction_key
            and transactions.version = first_known.version
    where transactions.balance_after is not null
),

-- What every date knows gets the same two moments, as in int_transactions_to_count.
seen as (
    select
        booked.*,
        case
            when booked.known_at < days.first_cutoff_at then cast('1970-01-01' as timestamp) else booked.known_at
        end as known_from,
        case
            when booked.superseded_at < coalesce(days.last_cutoff_at, cast('9999-12-31' as timestamp))
                then booked.superseded_at
            else cast('9999-12-31' as timestamp)
        end as known_until
    from booked
    left join days on booked.client_id = days.client_id and booked.balance_date = days.business_date
),

unsettled_days as (
    select distinct
        client_id,
        account_id,
        balance_date
    from seen
    where not ({{ always }})
),

-- Of nearly all days every date knows the same, and only the last row can be the closing.
settled as (
    select
        seen.client_id,
        seen.account_id,
        {{ value_at_last('seen.balance_after', order) }} as balance_after,
        seen.balance_date,
        1 as place,
        cast('1970-01-01' as timestamp) as known_from,
        cast('9999-12-31' as timestamp) as known_until
    from seen
    left join unsettled_days
        on
            seen.client_id = unsettled_days.client_id
            and seen.account_id = unsettled_days.account_id
            and seen.balance_date = unsettled_days.balance_date
    where unsettled_days.balance_date is null
    group by seen.client_id, seen.account_id, seen.balance_date
),

placed as (
    select
        seen.client_id,
        seen.account_id,
        seen.balance_after,
        seen.balance_date,
        row_number() over (
            partition by seen.client_id, seen.account_id, seen.balance_date order by {{ order | join(', ') }}
        ) as place,
        seen.known_from,
        seen.known_until
    from seen
    inner join unsettled_days
        on
            seen.client_id = unsettled_days.client_id
            and seen.account_id = unsettled_days.account_id
            and seen.balance_date = unsettled_days.balance_date
),

-- Of the others, the last row that every date knows can be the closing, or one after it that some dates know.
unsettled as (
    select * from (
        select
            *,
            max(case when {{ always }} then place end) over (
                partition by client_id, account_id, balance_date
            ) as last_place
        from placed
    ) as with_last
    where last_place is null or place >= last_place
),

closings as (
    {%- for part in ['settled', 'unsettled'] %}
    select
        client_id,
        account_id,
        balance_after,
        balance_date,
        place,
        known_from,
        known_until,
        {{ always }} as is_settled
    from {{ part }}
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
),

followed as (
    select
        client_id,
        account_id,
        balance_after,
        balance_date,
        case
            when is_settled
                then lead(balance_date) over (partition by client_id, account_id, is_settled order by balance_date)
        end as next_date,
        place,
        known_from,
        known_until
    from closings
)

select * from followed
