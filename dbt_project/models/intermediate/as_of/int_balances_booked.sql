-- A balance belongs to the day of booking, which for a card is often later than the purchase.
select
    transactions.client_id,
    transactions.account_id,
    transactions.balance_after,
    transactions.booking_date as balance_date,
    coalesce(
        transactions.booked_at, transactions.event_at, cast(transactions.business_date as timestamp)
    ) as booked_at,
    transactions.version_known_at,
    transactions.known_at,
    transactions.superseded_at,
    transactions._load_id,
    transactions._record
from {{ ref('int_transactions') }} as transactions
inner join {{ ref('stg_clients') }} as clients
    on transactions.client_id = clients.client_id and transactions.currency = clients.base_currency
where transactions.balance_after is not null and coalesce(transactions.status, 'posted') <> 'pending'
