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

openings as (
    select * from {{ ref('int_openings_as_of') }}
),

latest as (
    select * from {{ ref('int_transactions_latest') }}
),

spend as (
    select * from {{ ref('int_spend_windowed') }}
),

activity as (
    select * from {{ ref('int_activity_windowed') }}
),

purchases as (
    select * from {{ ref('int_purchases_windowed') }}
),

paydays as (
    select * from {{ ref('int_paydays_windowed') }}
),

active_days as (
    select * from {{ ref('int_active_days_windowed') }}
),

merchants as (
    select * from {{ ref('int_merchants_windowed') }}
),

cities as (
    select * from {{ ref('int_cities_windowed') }}
),

categories as (
    select * from {{ ref('int_categories_windowed') }}
),

balances as (
    select * from {{ ref('int_balances_windowed') }}
),

recurring as (
    select * from {{ ref('int_recurring_as_of') }}
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
        cast({{ days_between('latest.last_transaction_date', 'customers.as_of_date') }} as float)
            as days_since_last_transaction,
        cast({{ days_between('latest.last_income_date', 'customers.as_of_date') }} as float)
            as days_since_last_income,
        cast(logins.days_since_last_login as float) as days_since_last_login,
        cast(coalesce(spend.spend_30d, 0) as float) as total_spend_30d,
        cast(coalesce(spend.spend_90d, 0) as float) as total_spend_90d,
        cast(coalesce(spend.spend_365d, 0) as float) as total_spend_365d,
        purchases.avg_transaction_amount,
        purchases.median_transaction_amount_90d,
        purchases.max_transaction_amount_90d,
        purchases.stddev_transaction_amount_90d,
        coalesce(spend.avg_monthly_income_180d, 0) as avg_monthly_income_180d,
        spend.income_variation_180d,
        coalesce(activity.net_savings_90d, 0) as net_savings_90d,
        activity.savings_rate_90d,
        activity.rent_to_income_90d,
        activity.emi_to_income_90d,
        coalesce(activity.fees_and_interest_90d, 0) as fees_and_interest_90d,
        balances.avg_balance_90d,
        balances.min_balance_90d,
        balances.overdraft_days_90d,
        cast(coalesce(spend.transactions_365d, 0) as float) as total_transactions,
        cast(coalesce(spend.transactions_30d, 0) as float) as transactions_30d,
        cast(coalesce(spend.transactions_90d, 0) as float) as transactions_90d,
        cast(coalesce(active_days.active_days_90d, 0) as float) as active_days_90d,
        active_days.median_gap_days_90d,
        cast(coalesce(merchants.distinct_merchants_90d, 0) as float) as distinct_merchants_90d,
        cast(coalesce(recurring.active_recurring_payments, 0) as float) as active_recurring_payments,
        cast(logins.login_days_30d as float) as login_days_30d,
        merchants.merchant_entropy_90d,
        merchants.top_merchant_share_90d,
        merchants.new_merchant_share_90d,
        activity.digital_share_90d,
        cities.away_share_90d,
        spend.risk_spend_share_180d,
        spend.reversal_rate_180d,
        cast(
            {{ days_between('coalesce(openings.opened_on, latest.first_transaction_date)', 'customers.as_of_date') }}
            as float
        ) as tenure_days,
        activity.weekend_share_90d,
        activity.night_share_90d,
        paydays.payday_share_90d,
        activity.weekday_entropy_90d,
        case
            when {{ days_between('latest.first_transaction_date', 'customers.as_of_date') }} >= 364
                then spend.season_index
        end as season_index,
        cast(
            ln(
                (coalesce(spend.transactions_30d, 0) + 1)
                / (coalesce(spend.transactions_prior_90d, 0) / 3.0 + 1)
            ) as float
        ) as transaction_count_trend,
        cast(
            ln((logins.login_days_30d + 1) / (logins.login_days_prior_90d / 3.0 + 1)) as float
        ) as login_trend,
        spend.spend_slope_180d,
        spend.spend_volatility_180d,
        categories.share_groceries,
        categories.share_dining,
        categories.share_transport_fuel,
        categories.share_travel,
        categories.share_shopping,
        categories.share_luxury,
        categories.share_health,
        categories.share_education_children,
        categories.share_entertainment,
        categories.share_subscriptions,
        categories.share_utilities_telecom,
        categories.share_home_improvement,
        categories.share_rent_mortgage,
        categories.share_emi_loans,
        categories.share_insurance,
        categories.share_investments,
        categories.share_cash,
        categories.share_people_transfers,
        categories.category_entropy_90d,
        categories.category_shift_90d,
        '{{ definition_hash() }}' as _definition_hash
    from customers
    left join openings using (client_id, customer_id, as_of_date)
    left join latest using (client_id, customer_id, as_of_date)
    left join spend using (client_id, customer_id, as_of_date)
    left join activity using (client_id, customer_id, as_of_date)
    left join purchases using (client_id, customer_id, as_of_date)
    left join paydays using (client_id, customer_id, as_of_date)
    left join active_days using (client_id, customer_id, as_of_date)
    left join merchants using (client_id, customer_id, as_of_date)
    left join cities using (client_id, customer_id, as_of_date)
    left join categories using (client_id, customer_id, as_of_date)
    left join balances using (client_id, customer_id, as_of_date)
    left join recurring using (client_id, customer_id, as_of_date)
    left join logins using (client_id, customer_id, as_of_date)
)

select * from features
