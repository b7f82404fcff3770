-- title: The 100 customers most worth keeping
-- description: By value at risk, with the three strongest reasons; 100 customers of each client.
select client_id, customer_id, churn_score, churn_expected_value, currency, churn_reason_1, churn_reason_2, churn_reason_3
from marts.mart_customer_overview
where churn_score is not null
qualify row_number() over (partition by client_id order by churn_expected_value desc, customer_id) <= 100
order by client_id, churn_expected_value desc, customer_id
