{{ config(materialized='view') }}
{#- Nights that an estimate can still need. -#}
{%- set scored_days = 100 %}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

-- Of the customers of the month's last night.
churn as (
    select
        scores.client_id,
        'churn' as outcome,
        'customer' as entity,
        churned.month_start,
        cast(sum(cast(scores.score as decimal(18, 9))) as decimal(18, 6)) as expected_events
    from {{ ref('fct_scores') }} as scores
    inner join {{ ref('int_churn_outcomes') }} as churned
        on scores.client_id = churned.client_id and scores.as_of_date = churned.as_of_date
    where scores.model = 'churn' and scores.role = 'champion'
    group by scores.client_id, churned.month_start
),

-- Of each payment once, however often it was described: the highest of its scores.
payments as (
    select
        scores.client_id,
        scores.entity_id,
        cast({{ dbt.date_trunc('month', 'transactions.business_date') }} as date) as month_start,
        max(scores.score) as score
    from {{ ref('fct_scores') }} as scores
    inner join horizon
        on
            scores.client_id = horizon.client_id
            and {{ days_between('scores.as_of_date', 'horizon.as_of_date') }} < {{ scored_days }}
    inner join {{ ref('fct_transactions') }} as transactions
        on
            scores.client_id = transactions.client_id
            and scores.entity_id = transactions.transaction_key
            and transactions.is_current
    where scores.model = 'fraud' and scores.role = 'champion'
    group by scores.client_id, scores.entity_id, transactions.business_date
),

frauds as (
    select
        client_id,
        'fraud' as outcome,
        'transaction' as entity,
        month_start,
        cast(sum(cast(score as decimal(18, 9))) as decimal(18, 6)) as expected_events
    from payments
    group by client_id, month_start
)

select * from churn
union all
select * from frauds
