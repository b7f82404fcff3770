{{ config(materialized='table') }}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

features as (
    select * from {{ ref('features_customers') }}
),

customers as (
    select * from {{ ref('dim_customers') }}
),

transactions as (
    select
        fct.client_id,
        fct.customer_id,
        fct.spend_amount,
        fct.income_amount,
        {{ days_between('fct.business_date', 'horizon.as_of_date') }} as days_ago
    from {{ ref('fct_transactions') }} as fct
    inner join horizon on fct.client_id = horizon.client_id and fct.business_date <= horizon.as_of_date
    where fct.is_current and fct.has_base_amount
),

-- Money from the ledger, to the cent; the features' FLOAT is for models.
money as (
    select
        client_id,
        customer_id,
        cast(sum(spend_amount) filter (where days_ago < 30) as decimal(18, 4)) as spend_30d,
        cast(sum(spend_amount) filter (where days_ago < 90) as decimal(18, 4)) as spend_90d,
        cast(sum(spend_amount) filter (where days_ago < 365) as decimal(18, 4)) as spend_365d,
        cast(sum(income_amount) filter (where days_ago < 90) as decimal(18, 4)) as income_90d
    from transactions
    group by client_id, customer_id
),

churn_scores as (
    select
        *,
        max(as_of_date) over (partition by client_id) as last_scored_date
    from {{ ref('fct_scores') }}
    where model = 'churn' and role = 'champion' and entity = 'customer'
),

churn_reasons as (
    {{ reasons_side_by_side("model = 'churn' and entity = 'customer'") }}
),

overview as (
    select
        features.client_id,
        features.customer_id,
        customers.vertical,
        customers.country,
        customers.region,
        customers.city,
        customers.gender,
        cast(floor((extract(year from features.as_of_date) - customers.birth_year) / 10) * 10 as integer) as age_decade,
        customers.currency,
        coalesce(money.spend_30d, 0) as spend_30d,
        coalesce(money.spend_90d, 0) as spend_90d,
        coalesce(money.spend_365d, 0) as spend_365d,
        coalesce(money.income_90d, 0) as income_90d,
        cast(features.days_since_last_transaction as integer) as days_since_last_transaction,
        cast(features.days_since_last_login as integer) as days_since_last_login,
        cast(features.transactions_30d as integer) as transactions_30d,
        cast(features.transactions_90d as integer) as transactions_90d,
        cast(features.active_days_90d as integer) as active_days_90d,
        cast(features.distinct_merchants_90d as integer) as distinct_merchants_90d,
        features.transaction_count_trend,
        scores.model_version as churn_model_version,
        scores.score as churn_score,
        scores.band as churn_band,
        scores.expected_value as churn_expected_value,
        reasons.reason_1 as churn_reason_1,
        reasons.reason_2 as churn_reason_2,
        reasons.reason_3 as churn_reason_3,
        customers.signed_up_on,
        scores.as_of_date as churn_as_of_date,
        features.as_of_date
    from features
    inner join horizon using (client_id, as_of_date)
    inner join customers using (client_id, customer_id)
    left join money using (client_id, customer_id)
    left join churn_scores as scores
        on
            features.client_id = scores.client_id
            and features.customer_id = scores.entity_id
            and scores.as_of_date = scores.last_scored_date
    left join churn_reasons as reasons
        on
            scores.client_id = reasons.client_id
            and scores.model_version = reasons.model_version
            and scores.entity_id = reasons.entity_id
            and scores.as_of_date = reasons.as_of_date
)

select * from overview
