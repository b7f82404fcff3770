-- title: Frauds reported within the last 30 days
-- description: What was told, of which payment, and how many days after it; counted from the day the data goes through.
select
    payments.client_id, reports.known_at as reported_at, payments.business_date, payments.customer_id,
    payments.merchant, payments.city, payments.amount, payments.currency
from intermediate.int_fraud_reports as reports
inner join marts.fct_transactions as payments
    on reports.client_id = payments.client_id and reports.transaction_key = payments.transaction_key
inner join ops.horizon as horizon on payments.client_id = horizon.client_id
where
    reports.is_fraud and reports.superseded_at is null and payments.is_current
    and reports.known_at >= horizon.as_of_date - interval 30 day
order by reported_at desc
