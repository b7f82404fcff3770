-- Never rebuilt whole: a queue that people worked through is a record, whatever settings and rules say later.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        full_refresh=false,
        pre_hook={'sql': "{{ delete_tonight() }}", 'transaction': false},
    )
}}
{#- Where the fraud model's features are. -#}
{%- set vectors = ["features_movements", "features_transactions", "features_velocity"] %}

with

clients as (
    select * from {{ ref('stg_clients') }}
),

dates as (
    select * from {{ ref('stg_as_of_dates') }}
    {%- if is_incremental() %}
    where is_tonight
    {%- endif %}
),

transactions as (
    select * from {{ ref('fct_transactions') }}
),

-- Of who has never reported a fraud no model has learnt.
reporting as (
    select
        client_id,
        min(known_at) as first_reported_at
    from {{ ref('int_fraud_reports') }}
    group by client_id
),

-- The best rule with one condition that the version had to beat.
rules as (
    select
        version as model_version,
        substring(dataset, 7) as feature,
        metric = 'fires_from' as fires_from,
        value as threshold,
        known_at
    from {{ ref('stg_model_metrics') }}
    where
        model = 'fraud'
        and baseline = 'best_rule'
        and dataset like 'rule: %'
        and metric in ('fires_from', 'fires_up_to')
),

{% for model in vectors -%}
{{ model }} as (
    select * from {{ ref(model) }}
    where as_of_date in (select dates.as_of_date from dates)
),

{% endfor -%}
-- As the date knew the transaction: a posting or correction that came later is another one's alert.
worth_an_alert as (
    select
        scores.client_id,
        scores.model_version,
        scores.entity_id as transaction_key,
        scores.receipt_id,
        transactions.customer_id,
        transactions.account_id,
        transactions.merchant,
        scores.currency,
        cast(abs(transactions.base_amount) as decimal(18, 4)) as amount,
        scores.score,
        scores.expected_value as expected_loss,
        clients.alert_cost,
        case
            when clients.alerts_without_reports or reporting.client_id is not null then clients.alerts_per_day
            else 0
        end as budget,
        transactions.business_date,
        transactions.event_at,
        scores.as_of_date,
        dates.cutoff_at
    from {{ ref('fct_scores') }} as scores
    inner join dates on scores.client_id = dates.client_id and scores.as_of_date = dates.as_of_date
    inner join clients on scores.client_id = clients.client_id
    left join reporting on scores.client_id = reporting.client_id and dates.cutoff_at > reporting.first_reported_at
    inner join transactions
        on
            scores.client_id = transactions.client_id
            and scores.entity_id = transactions.transaction_key
    where
        {{ after_join('dates.cutoff_at > transactions.known_at') }}
        and {{ after_join('transactions.superseded_at is null or dates.cutoff_at <= transactions.superseded_at') }}
        and scores.model = 'fraud'
        and scores.role = 'champion'
        and scores.entity = 'transaction'
        and scores.expected_value > clients.alert_cost
),

queued as (
    select
        *,
        row_number() over (
            partition by client_id, as_of_date order by expected_loss desc, score desc, transaction_key asc
        ) as rank
    from worth_an_alert
),

ruled as (
    select
        queued.client_id,
        queued.transaction_key,
        queued.as_of_date,
        rules.feature,
        rules.fires_from,
        rules.threshold,
        case
            -- dbt knows the features only when it runs.
            when rules.feature is null then null
            {%- for model in vectors %}
            {%- for feature, group in feature_columns(model) %}
            when rules.feature = '{{ feature }}' then cast({{ model }}.{{ feature }} as float)
            {%- endfor %}
            {%- endfor %}
        end as feature_value
    from queued
    inner join rules on queued.model_version = rules.model_version and queued.cutoff_at > rules.known_at
    {%- for model in vectors %}
    left join {{ model }}
        on
            queued.client_id = {{ model }}.client_id
            and queued.transaction_key = {{ model }}.transaction_key
            and queued.as_of_date = {{ model }}.as_of_date
    {%- endfor %}
),

reasons as (
    {{ reasons_side_by_side("model = 'fraud' and as_of_date in (select dates.as_of_date from dates)") }}
),

alerts as (
    select
        queued.client_id,
        queued.transaction_key,
        queued.customer_id,
        queued.account_id,
        queued.model_version,
        queued.receipt_id,
        queued.merchant,
        reasons.reason_1,
        reasons.reason_2,
        reasons.reason_3,
        ruled.feature
        || case when ruled.fires_from then ' ≥ ' else ' ≤ ' end
        || cast(ruled.threshold as varchar) as best_rule,
        queued.currency,
        cast(queued.rank as integer) as rank,
        queued.amount,
        queued.score,
        queued.expected_loss,
        queued.alert_cost,
        queued.rank <= queued.budget as is_within_budget,
        case
            when ruled.feature is null then null
            when ruled.fires_from then coalesce(ruled.feature_value >= ruled.threshold, false)
            else coalesce(ruled.feature_value <= ruled.threshold, false)
        end as is_hit_by_rule,
        queued.business_date,
        queued.event_at,
        queued.as_of_date
    from queued
    left join ruled
        on
            queued.client_id = ruled.client_id
            and queued.transaction_key = ruled.transaction_key
            and queued.as_of_date = ruled.as_of_date
    left join reasons
        on
            queued.client_id = reasons.client_id
            and queued.transaction_key = reasons.entity_id
            and queued.model_version = reasons.model_version
            and queued.as_of_date = reasons.as_of_date
)

select * from alerts
