-- A view: what people do by day is no part of what a night computes, and a replay does not repeat it.
{{ config(materialized='view') }}

with

-- What a history made up afterwards nobody could look at.
nights as (
    select
        nights.as_of_date,
        nights.published_at
    from {{ ref('mart_nights') }} as nights
    inner join {{ ref('stg_publications') }} as publications
        on nights.published_at = publications.recorded_at and publications.action = 'published'
    where publications.run_kind <> 'history'
),

alerts as (
    select
        alerts.*,
        nights.published_at,
        row_number() over (
            partition by alerts.client_id, alerts.transaction_key order by alerts.as_of_date
        ) as place
    from {{ ref('mart_fraud_alerts') }} as alerts
    inner join nights on alerts.as_of_date = nights.as_of_date
    where alerts.is_within_budget
),

reports as (
    select distinct
        client_id,
        transaction_key
    from {{ ref('int_fraud_reports') }}
    where is_fraud and superseded_at is null
),

-- The model assumes frauds that are known within 30 days (ml/models/fraud.yml).
outcomes as (
    select
        alerts.client_id,
        alerts.transaction_key,
        clients.base_currency as currency,
        alerts.amount,
        alerts.expected_loss,
        cases.closed_at is not null as is_closed,
        coalesce(
            cases.verdict = 'fraud' and cases.closed_at <= alerts.published_at + interval '30' day, false
        ) as is_prevented,
        reports.transaction_key is not null as is_reported,
        alerts.as_of_date
    from alerts
    inner join {{ ref('stg_clients') }} as clients on alerts.client_id = clients.client_id
    left join {{ ref('mart_fraud_cases') }} as cases
        on alerts.client_id = cases.client_id and alerts.transaction_key = cases.transaction_key
    left join reports
        on alerts.client_id = reports.client_id and alerts.transaction_key = reports.transaction_key
    where alerts.place = 1
)

select * from outcomes
