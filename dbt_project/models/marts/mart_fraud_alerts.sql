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

worth_an_alert as (
    select
        scores.client_id,
        scores.model_version,
        scores.entity_id as transaction_key,
        scores.receipt_id,
        scores.currency,
        scores.score,
        scores.expected_value as expected_loss,
        clients.alert_cost,
        clients.alerts_per_day,
        scores.as_of_date,
        dates.cutoff_at
    from {{ ref('fct_scores') }} as scores
    inner join dates on scores.client_id = dates.client_id and scores.as_of_date = dates.as_of_date
    inner join clients on scores.client_id = clients.client_id
    where
        scores.model = 'fraud'
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

reasons as (
    {{ reasons_side_by_side("model = 'fraud' and as_of_date in (select dates.as_of_date from dates)") }}
),

-- As the date knew the transaction: a posting or correction that came later is another one's alert.
alerts as (
    select
        queued.client_id,
        queued.transaction_key,
        transactions.customer_id,
        transactions.account_id,
        queued.model_version,
        queued.receipt_id,
        transactions.merchant,
        reasons.reason_1,
        reasons.reason_2,
        reasons.reason_3,
        queued.currency,
        cast(queued.rank as integer) as rank,
        cast(abs(transactions.base_amount) as decimal(18, 4)) as amount,
        queued.score,
        queued.expected_loss,
        queued.alert_cost,
        queued.rank <= queued.alerts_per_day as is_within_budget,
        transactions.business_date,
        transactions.event_at,
        queued.as_of_date
    from queued
    inner join transactions
        on
            queued.client_id = transactions.client_id
            and queued.transaction_key = transactions.transaction_key
            and queued.cutoff_at > transactions.known_at
            and (transactions.superseded_at is null or queued.cutoff_at <= transactions.superseded_at)
    left join reasons
        on
            queued.client_id = reasons.client_id
            and queued.transaction_key = reasons.entity_id
            and queued.model_version = reasons.model_version
            and queued.as_of_date = reasons.as_of_date
)

select * from alerts
