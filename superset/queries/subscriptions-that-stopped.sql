-- title: Regular payments that stopped
-- description: Salaries, rents and subscriptions that did not come when they were expected, newest first.
select client_id, customer_id, kind, payee, last_amount, currency, last_paid_on, next_expected_on
from marts.mart_recurring_payments
where is_lapsed
order by next_expected_on desc, customer_id
limit 500
