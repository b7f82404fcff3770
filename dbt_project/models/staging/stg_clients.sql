select
    client_id,
    base_currency,
    timezone,
    country,
    interchange_rate,
    alert_cost,
    alerts_per_day,
    alerts_without_reports,
    anomalies_per_day,
    risk_weight_credit,
    risk_weight_fraud,
    risk_weight_anomaly,
    risk_weight_churn
from {{ source('ops', 'clients') }}
