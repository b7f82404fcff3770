-- Natural features of each payment that customers start, from the files alone, looking back only.
with

payments as (
    select
        txn_id,
        customer_id,
        txn_time as moment,
        -amount::double as amount,
        txn_type,
        pay_mode,
        channel,
        merchant_id,
        counterparty_phone,
        city,
        balance_after::double as balance_after,
        extract(hour from txn_time) as hour_of_day
    from readable
    where status = 'S' and amount < 0 and txn_type in ('PUR', 'P2P', 'CWD')
),

homes as (
    select customer_id, mode(city) as home from payments group by 1
),

devices as (
    select
        customer_id,
        event_at as moment,
        row_number() over (partition by customer_id, device_id order by event_at) = 1 as is_new_device
    from events where device_id is not null
),

new_devices as (
    select customer_id, moment from devices where is_new_device
)

select
    payments.txn_id,
    payments.amount,
    hour_of_day,
    abs(hour_of_day - 14) as hours_from_mid_afternoon,
    (channel = 'ECOM')::integer as is_online,
    (txn_type = 'P2P')::integer as is_to_person,
    (pay_mode = 'CARD')::integer as is_by_card,
    (city is distinct from home)::integer as is_away,
    (count(*) over same_merchant = 0)::integer as is_new_merchant,
    case when counterparty_phone is not null then (count(*) over same_payee = 0)::integer else 0 end as is_new_payee,
    amount / avg(amount) over earlier as amount_to_own_mean,
    (amount - avg(amount) over earlier) / nullif(stddev(amount) over earlier, 0) as amount_zscore,
    count(*) over hour_before as transactions_1h,
    count(*) over day_before as transactions_24h,
    coalesce(sum(amount) over hour_before, 0) as spend_1h,
    coalesce(sum(amount) over day_before, 0) / nullif(sum(amount) over quarter_before / 90, 0) as spend_24h_ratio,
    epoch(payments.moment - lag(payments.moment) over earlier) as seconds_since_previous,
    balance_after,
    amount / nullif(balance_after + amount, 0) as amount_to_balance,
    epoch(payments.moment - new_devices.moment) as seconds_since_new_device
from payments
inner join homes using (customer_id)
asof left join new_devices on payments.customer_id = new_devices.customer_id and payments.moment >= new_devices.moment
window
    earlier as (partition by payments.customer_id order by payments.moment, txn_id rows between unbounded preceding and 1 preceding),
    same_merchant as (partition by payments.customer_id, coalesce(merchant_id, txn_type) order by payments.moment, txn_id
        rows between unbounded preceding and 1 preceding),
    same_payee as (partition by payments.customer_id, counterparty_phone order by payments.moment, txn_id
        rows between unbounded preceding and 1 preceding),
    hour_before as (partition by payments.customer_id order by payments.moment
        range between interval 1 hour preceding and interval 1 second preceding),
    day_before as (partition by payments.customer_id order by payments.moment
        range between interval 24 hours preceding and interval 1 second preceding),
    quarter_before as (partition by payments.customer_id order by payments.moment
        range between interval 91 days preceding and interval 1 day preceding)
