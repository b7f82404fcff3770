-- depends_on: {{ ref('int_dates_to_build') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="
            {% if is_incremental() %}
            delete from {{ this }}
            where (client_id, as_of_date) in (select client_id, as_of_date from {{ ref('int_dates_to_build') }})
            {% endif %}
        ",
    )
}}

with

customers as (
    select * from {{ ref('int_customers_as_of') }}
),

latest as (
    select * from {{ ref('int_transactions_latest') }}
),

transactions as (
    select * from {{ ref('int_transactions_windowed') }}
),

active_days as (
    select * from {{ ref('int_active_days_windowed') }}
),

merchants as (
    select * from {{ ref('int_merchants_windowed') }}
),

logins as (
    select * from {{ ref('int_logins_windowed') }}
),

-- A count of nothing is 0; what a client's feeds could not have shown is unknown.
features as (
    select
        customers.client_id,
        customers.customer_id,
        customers.as_of_date,
        cast(latest.days_since_last_transaction as float) as days_since_last_transaction,
        cast(latest.days_since_last_income as float) as days_since_last_income,
        cast(logins.days_since_last_login as float) as days_since_last_login,
        cast(coalesce(transactions.transactions_365d, 0) as float) as total_transactions,
        cast(coalesce(transactions.transactions_30d, 0) as float) as transactions_30d,
        cast(coalesce(transactions.transactions_90d, 0) as float) as transactions_90d,
        cast(coalesce(active_days.active_days_90d, 0) as float) as active_days_90d,
        cast(active_days.median_gap_days_90d as float) as median_gap_days_90d,
        cast(coalesce(merchants.distinct_merchants_90d, 0) as float) as distinct_merchants_90d,
        cast(logins.login_days_30d as float) as login_days_30d,
        cast(coalesce(transactions.spend_30d, 0) as float) as total_spend_30d,
        cast(coalesce(transactions.spend_90d, 0) as float) as total_spend_90d,
        cast(coalesce(transactions.spend_365d, 0) as float) as total_spend_365d,
        transactions.avg_transaction_amount,
        transactions.median_transaction_amount_90d,
        transactions.max_transaction_amount_90d,
        transactions.stddev_transaction_amount_90d,
        cast(
            ln(
                (coalesce(transactions.transactions_30d, 0) + 1)
                / (coalesce(transactions.transactions_prior_90d, 0) / 3.0 + 1)
            ) as float
        ) as transaction_count_trend,
        cast(
            ln((logins.login_days_30d + 1) / (logins.login_days_prior_90d / 3.0 + 1)) as float
        ) as login_trend,
        transactions.spend_slope_180d,
        transactions.spend_volatility_180d,
        '{{ definition_hash() }}' as _definition_hash
    from customers
    left join latest using (client_id, customer_id, as_of_date)
    left join transactions using (client_id, customer_id, as_of_date)
    left join active_days using (client_id, customer_id, as_of_date)
    left join merchants using (client_id, customer_id, as_of_date)
    left join logins using (client_id, customer_id, as_of_date)
)

select * from features
