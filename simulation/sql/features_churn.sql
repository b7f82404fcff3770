-- Natural features of each customer on each date, from the files alone, for those who were active in the 90 days before.
with

dates as (
    select unnest($dates::date[]) as as_of_date
),

transactions as (
    select
        customer_id,
        txn_time::date as day,
        txn_type,
        merchant_id,
        amount::double as amount,
        amount < 0 and pay_mode not in ('NACH', 'SI', 'CHG', 'INT') as is_started,
        amount < 0 and txn_type not in ('OWN', 'CCP') as is_spend
    from readable
    where status = 'S' or txn_id not in (select original_txn_id from readable where original_txn_id is not null and txn_type = 'PUR')
),

closings as (
    select customer_id, max(closed_on)::date as closed_on, min(signed_up_on)::date as signed_up_on
    from customers group by 1
),

facts as (
    select
        customer_id,
        as_of_date,
        count(*) filter (is_started and day > as_of_date and day <= as_of_date + 60) = 0 as label,
        as_of_date - max(day) filter (is_started and day <= as_of_date) as days_since_last_transaction,
        as_of_date - max(day) filter (txn_type in ('SAL', 'BIZ') and day <= as_of_date) as days_since_last_income,
        count(*) filter (is_started and day between as_of_date - 364 and as_of_date) as total_transactions,
        count(*) filter (is_started and day between as_of_date - 29 and as_of_date) as transactions_30d,
        count(*) filter (is_started and day between as_of_date - 89 and as_of_date) as transactions_90d,
        count(*) filter (is_started and day between as_of_date - 119 and as_of_date - 30) as prior_90d,
        count(distinct day) filter (is_started and day between as_of_date - 89 and as_of_date) as active_days_90d,
        count(distinct merchant_id) filter (is_started and day between as_of_date - 89 and as_of_date)
            as distinct_merchants_90d,
        -sum(amount) filter (is_spend and day between as_of_date - 29 and as_of_date) as total_spend_30d,
        -sum(amount) filter (is_spend and day between as_of_date - 89 and as_of_date) as total_spend_90d,
        -sum(amount) filter (is_spend and day between as_of_date - 364 and as_of_date) as total_spend_365d,
        -avg(amount) filter (txn_type = 'PUR' and amount < 0 and day between as_of_date - 89 and as_of_date)
            as avg_transaction_amount,
        -median(amount) filter (txn_type = 'PUR' and amount < 0 and day between as_of_date - 89 and as_of_date)
            as median_transaction_amount_90d,
        -min(amount) filter (txn_type = 'PUR' and amount < 0 and day between as_of_date - 89 and as_of_date)
            as max_transaction_amount_90d,
        stddev(amount) filter (txn_type = 'PUR' and amount < 0 and day between as_of_date - 89 and as_of_date)
            as stddev_transaction_amount_90d
    from transactions cross join dates
    where day between as_of_date - 364 and as_of_date + 60
    group by 1, 2
    having count(*) filter (is_started and day between as_of_date - 89 and as_of_date) > 0
),

gaps as (
    select customer_id, as_of_date, median(gap) as median_gap_days_90d
    from (
        select
            customer_id,
            as_of_date,
            day - lag(day) over (partition by customer_id, as_of_date order by day) as gap
        from (select distinct customer_id, day from transactions where is_started) cross join dates
        where day between as_of_date - 89 and as_of_date
    )
    group by 1, 2
),

months as (
    select
        customer_id,
        as_of_date,
        (as_of_date - day) // 30 as month,
        -sum(amount) as spend
    from transactions cross join dates
    where is_spend and day between as_of_date - 179 and as_of_date
    group by 1, 2, 3
),

trends as (
    -- Six months 0 (latest) … 5; those without a row count as 0.
    select
        customer_id,
        as_of_date,
        sum(spend * (2.5 - month)) / 17.5 / nullif(sum(spend) / 6, 0) as spend_slope_180d,
        sqrt(greatest((sum(spend * spend) - sum(spend) * sum(spend) / 6) / 5, 0)) / nullif(sum(spend) / 6, 0)
            as spend_volatility_180d
    from months
    group by 1, 2
),

app as (
    select
        customer_id,
        as_of_date,
        as_of_date - max(day) filter (event_type = 'login') as days_since_last_login,
        count(distinct day) filter (event_type = 'login' and day >= as_of_date - 29) as login_days_30d,
        count(distinct day) filter (event_type = 'login' and day between as_of_date - 119 and as_of_date - 30)
            as login_days_prior_90d,
        count(*) filter (event_type = 'support_contact' and day >= as_of_date - 89) as support_contacts_90d
    from (select customer_id, event_at::date as day, event_type from events) cross join dates
    where day between as_of_date - 364 and as_of_date
    group by 1, 2
)

select
    facts.* exclude (prior_90d),
    as_of_date - signed_up_on as tenure_days,
    median_gap_days_90d,
    ln((transactions_30d + 1) / (prior_90d / 3.0 + 1)) as transaction_count_trend,
    spend_slope_180d,
    spend_volatility_180d,
    days_since_last_login,
    coalesce(login_days_30d, 0) as login_days_30d,
    ln((coalesce(login_days_30d, 0) + 1) / (coalesce(login_days_prior_90d, 0) / 3.0 + 1)) as login_trend,
    coalesce(support_contacts_90d, 0) as support_contacts_90d
from facts
inner join closings using (customer_id)
left join gaps using (customer_id, as_of_date)
left join trends using (customer_id, as_of_date)
left join app using (customer_id, as_of_date)
where closed_on is null or closed_on > as_of_date
order by customer_id, as_of_date
