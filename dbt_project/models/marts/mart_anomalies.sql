-- Never rebuilt whole: a list that people looked through is a record, whatever settings and rules say later.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        full_refresh=false,
        pre_hook={'sql': "{{ delete_tonight() }}", 'transaction': false},
    )
}}

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

unusual as (
    select
        scores.client_id,
        scores.model,
        scores.model_version,
        scores.entity,
        scores.entity_id,
        scores.receipt_id,
        scores.currency,
        scores.score,
        scores.margin,
        scores.as_of_date,
        dates.cutoff_at,
        clients.anomalies_per_day
    from {{ ref('fct_scores') }} as scores
    inner join dates on scores.client_id = dates.client_id and scores.as_of_date = dates.as_of_date
    inner join clients on scores.client_id = clients.client_id
    where
        scores.model in ('anomaly', 'anomaly_transactions')
        and scores.role = 'champion'
        and scores.band = 'unusual'
),

-- As the date knew the transaction.
paid as (
    select
        unusual.client_id,
        unusual.entity,
        unusual.entity_id,
        unusual.as_of_date,
        unusual.currency,
        transactions.customer_id,
        transactions.merchant,
        transactions.category,
        cast(abs(transactions.base_amount) as decimal(18, 4)) as amount,
        transactions.business_date
    from unusual
    inner join transactions
        on
            unusual.client_id = transactions.client_id
            and unusual.entity_id = transactions.transaction_key
    where
        unusual.entity = 'transaction'
        and {{ after_join('unusual.cutoff_at > transactions.known_at') }}
        and {{ after_join('transactions.superseded_at is null or unusual.cutoff_at <= transactions.superseded_at') }}
),

-- Many share the highest score of all, 1: the margin tells them apart.
within_customers as (
    select
        unusual.client_id,
        unusual.model,
        unusual.model_version,
        unusual.entity,
        unusual.entity_id,
        unusual.receipt_id,
        unusual.score,
        unusual.margin,
        unusual.as_of_date,
        unusual.anomalies_per_day,
        case when unusual.entity = 'customer' then unusual.entity_id else paid.customer_id end as customer_id,
        paid.merchant,
        paid.category,
        paid.currency,
        paid.amount,
        paid.business_date,
        row_number() over (
            partition by
                unusual.client_id,
                unusual.entity,
                unusual.as_of_date,
                case when unusual.entity = 'customer' then unusual.entity_id else paid.customer_id end
            order by unusual.margin desc, unusual.entity_id asc
        ) as place
    from unusual
    left join paid
        on
            unusual.client_id = paid.client_id
            and unusual.entity = paid.entity
            and unusual.entity_id = paid.entity_id
            and unusual.as_of_date = paid.as_of_date
),

-- One spree would fill the whole list: nobody's second comes before everybody's first.
ranked as (
    select
        *,
        row_number() over (
            partition by client_id, entity, as_of_date order by place asc, margin desc, entity_id asc
        ) as rank,
        count(*) over (partition by client_id, entity, as_of_date) as unusual_in_all
    from within_customers
),

within_quota as (
    select * from ranked
    where rank <= anomalies_per_day
),

reasons as (
    {{ reasons_side_by_side("model like 'anomaly%' and as_of_date in (select dates.as_of_date from dates)") }}
),

anomalies as (
    select
        within_quota.client_id,
        within_quota.entity,
        within_quota.entity_id,
        within_quota.customer_id,
        within_quota.model,
        within_quota.model_version,
        within_quota.receipt_id,
        within_quota.merchant,
        within_quota.category,
        reasons.reason_1,
        reasons.reason_2,
        reasons.reason_3,
        within_quota.currency,
        cast(within_quota.rank as integer) as rank,
        cast(within_quota.unusual_in_all as bigint) as unusual_in_all,
        within_quota.amount,
        within_quota.score,
        within_quota.margin,
        within_quota.business_date,
        within_quota.as_of_date
    from within_quota
    left join reasons
        on
            within_quota.client_id = reasons.client_id
            and within_quota.entity = reasons.entity
            and within_quota.entity_id = reasons.entity_id
            and within_quota.model_version = reasons.model_version
            and within_quota.as_of_date = reasons.as_of_date
)

select * from anomalies
