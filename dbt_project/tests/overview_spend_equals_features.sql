-- The overview adds up the ledger, the features add up what the date knew: at the horizon the two are the same money.
select
    overview.client_id,
    overview.customer_id,
    overview.spend_365d,
    features.total_spend_365d
from {{ ref('mart_customer_overview') }} as overview
inner join {{ ref('features_customers') }} as features
    on
        overview.client_id = features.client_id
        and overview.customer_id = features.customer_id
        and overview.as_of_date = features.as_of_date
where
    cast(cast(overview.spend_30d as decimal(38, 4)) as float) <> features.total_spend_30d
    or cast(cast(overview.spend_90d as decimal(38, 4)) as float) <> features.total_spend_90d
    or cast(cast(overview.spend_365d as decimal(38, 4)) as float) <> features.total_spend_365d
