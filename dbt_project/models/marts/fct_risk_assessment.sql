-- Never rebuilt whole: what somebody was told to be is a record, whatever weights and scores say later.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        full_refresh=false,
        pre_hook={'sql': "{{ delete_tonight() }}", 'transaction': false},
    )
}}

{%- set factors = ['credit', 'fraud', 'anomaly', 'churn'] %}

with

dates as (
    select * from {{ ref('stg_as_of_dates') }}
    {%- if is_incremental() %}
    where is_tonight
    {%- endif %}
),

clients as (
    select * from {{ ref('stg_clients') }}
),

scores as (
    select * from {{ ref('fct_scores') }}
    where role = 'champion'
),

of_customers as (
    select
        scores.client_id,
        scores.entity_id as customer_id,
        scores.as_of_date,
        scores.model as factor,
        scores.score
    from scores
    inner join dates on scores.client_id = dates.client_id and scores.as_of_date = dates.as_of_date
    where scores.entity = 'customer' and scores.model in ('credit', 'anomaly', 'churn')
),

-- A transaction is scored on the first date that knows it, be it the date itself or one of the days before.
suspected as (
    select
        scores.client_id,
        scores.entity_id as transaction_key,
        dates.as_of_date,
        max(scores.score) as score
    from scores
    inner join dates
        on
            scores.client_id = dates.client_id
            and scores.as_of_date <= dates.as_of_date
            and scores.as_of_date > cast({{ dbt.dateadd('day', -30, 'dates.as_of_date') }} as date)
    where scores.entity = 'transaction' and scores.model = 'fraud'
    group by scores.client_id, scores.entity_id, dates.as_of_date
),

-- A collection, a fee or a salary tells nothing of the customer's card or account in other hands.
owners as (
    select
        client_id,
        transaction_key,
        min(customer_id) as customer_id,
        max(business_date) as business_date
    from {{ ref('fct_transactions') }}
    where
        is_customer_initiated
        and (client_id, transaction_key) in (
            select
                suspected.client_id,
                suspected.transaction_key
            from suspected
        )
    group by client_id, transaction_key
),

of_transactions as (
    select
        suspected.client_id,
        owners.customer_id,
        suspected.as_of_date,
        'fraud' as factor,
        max(suspected.score) as score
    from suspected
    inner join owners
        on suspected.client_id = owners.client_id and suspected.transaction_key = owners.transaction_key
    where owners.business_date > cast({{ dbt.dateadd('day', -30, 'suspected.as_of_date') }} as date)
    group by suspected.client_id, owners.customer_id, suspected.as_of_date
),

given as (
    select
        client_id,
        customer_id,
        {%- for factor in factors %}
        max(case when factor = '{{ factor }}' then score end) as {{ factor }}_score,
        {%- endfor %}
        as_of_date
    from (
        select * from of_customers
        union all
        select * from of_transactions
    ) as all_factors
    group by client_id, customer_id, as_of_date
),

-- Probabilities stand for themselves. An anomaly's score is a rank: only the most unusual tenth counts, from 0 to 1.
weighted as (
    select
        given.*,
        {%- for factor in factors %}
        case
            when given.{{ factor }}_score is null then 0
            else coalesce(clients.risk_weight_{{ factor }}, 0)
        end as {{ factor }}_weight,
        {%- endfor %}
        {%- for factor in ['credit', 'fraud', 'churn'] %}
        cast(coalesce(given.{{ factor }}_score, 0) as decimal(7, 6)) as {{ factor }}_risk,
        {%- endfor %}
        greatest(cast(coalesce(given.anomaly_score, 0) as decimal(7, 6)) - 0.9, 0) * 10 as anomaly_risk
    from given
    inner join clients on given.client_id = clients.client_id
),

-- What a missing probability would weigh is shared out among those there are. To be unusual is no risk by itself: it
-- never weighs more than the client gives it, and without any probability nobody is assessed.
stretched as (
    select
        *,
        cast(
            (1 - anomaly_weight) / nullif(credit_weight + fraud_weight + churn_weight, 0) as decimal(12, 9)
        ) as stretch
    from weighted
),

summed as (
    select
        *,
        {%- for factor in ['credit', 'fraud', 'churn'] %}
        {{ factor }}_weight * stretch * {{ factor }}_risk as {{ factor }}_part,
        {%- endfor %}
        anomaly_weight * anomaly_risk as anomaly_part,
        (credit_weight * credit_risk + fraud_weight * fraud_risk + churn_weight * churn_risk) * stretch
        + anomaly_weight * anomaly_risk as parts
    from stretched
    where stretch is not null
),

scored as (
    select
        *,
        cast(parts as decimal(9, 8)) as risk
    from summed
),

assessed as (
    select
        client_id,
        customer_id,
        case
            when risk >= 0.3 then 'critical'
            when risk >= 0.15 then 'high'
            when risk >= 0.05 then 'medium'
            else 'low'
        end as level,
        case
            when parts = 0 then null
            {%- for factor in factors[:-1] %}
            when {{ factor }}_part = greatest(credit_part, fraud_part, anomaly_part, churn_part) then '{{ factor }}'
            {%- endfor %}
            else '{{ factors[-1] }}'
        end as leading_factor,
        case when credit_weight > 0 then 1 else 0 end
        + case when fraud_weight > 0 then 1 else 0 end
        + case when anomaly_weight > 0 then 1 else 0 end
        + case when churn_weight > 0 then 1 else 0 end as factors,
        cast(risk as float) as score,
        {%- for factor in factors %}
        {{ factor }}_score,
        {%- endfor %}
        {%- for factor in factors %}
        cast(case when parts > 0 then {{ factor }}_part / parts end as float) as {{ factor }}_share,
        {%- endfor %}
        as_of_date
    from scored
)

select * from assessed
