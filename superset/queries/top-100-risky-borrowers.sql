-- title: The 100 riskiest borrowers
-- description: Champion's latest probabilities of default, with interval and expected loss; 100 borrowers of each client.
select client_id, entity_id as customer_id, band, score, score_lo, score_hi, expected_value, currency, as_of_date
from marts.fct_scores
where model = 'credit' and role = 'champion'
qualify
    as_of_date = max(as_of_date) over (partition by client_id)
    and row_number() over (partition by client_id order by as_of_date desc, score desc, entity_id) <= 100
order by client_id, score desc, customer_id
