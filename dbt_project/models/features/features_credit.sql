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

existing as (
    select * from {{ ref('int_customers_as_of') }}
),

borrowing as (
    select * from {{ ref('int_borrowing_as_of') }}
),

arrears as (
    select * from {{ ref('int_arrears_as_of') }}
),

returned as (
    select * from {{ ref('int_returned_debits_as_of') }}
),

defaults as (
    select * from {{ ref('int_defaults_as_of') }}
),

days as (
    select * from {{ ref('int_days_to_build') }}
    where days_ago < 90
),

earned as (
    select
        days.client_id,
        customer_days.customer_id,
        days.as_of_date,
        sum(customer_days.income) as income_90d
    from days
    inner join {{ ref('int_customer_days') }} as customer_days
        on
            days.client_id = customer_days.client_id
            and days.business_date = customer_days.business_date
            and days.cutoff_at > customer_days.known_from
            and days.cutoff_at <= customer_days.known_until
    group by days.client_id, customer_days.customer_id, days.as_of_date
),

declared as (
    select
        dates.client_id,
        customers.customer_id,
        dates.as_of_date,
        customers.declared_income
    from {{ ref('int_dates_to_build') }} as dates
    inner join {{ ref('int_customers') }} as customers
        on
            dates.client_id = customers.client_id
            and dates.cutoff_at > customers.known_at
            and (customers.superseded_at is null or dates.cutoff_at <= customers.superseded_at)
),

features as (
    select
        existing.client_id,
        existing.customer_id,
        existing.as_of_date,
        borrowing.is_in_default or coalesce(defaults.is_in_default, false) as is_in_default,
        cast(borrowing.total_balance as float) as total_balance,
        cast(borrowing.total_credit_limit as float) as total_credit_limit,
        cast(borrowing.number_of_open_accounts as float) as number_of_open_accounts,
        cast(borrowing.number_of_accounts_in_arrears as float) as number_of_accounts_in_arrears,
        cast(
            case
                when borrowing.total_credit_limit > 0
                    then cast(borrowing.total_balance as double) / cast(borrowing.total_credit_limit as double)
            end as float
        ) as bureau_utilisation,
        cast(borrowing.report_age_days as float) as bureau_report_age_days,
        case when borrowing.has_loans_feed then coalesce(borrowing.open_loans, 0) end as open_loans,
        borrowing.own_credit_limit,
        cast(borrowing.outstanding_principal as float) as outstanding_principal,
        cast(
            case
                when borrowing.open_principal > 0
                    then cast(borrowing.outstanding_principal as double) / cast(borrowing.open_principal as double)
            end as float
        ) as outstanding_share,
        borrowing.months_on_book,
        cast(
            case
                when earned.income_90d > 0
                    then cast(borrowing.instalments as double) * 3 / cast(earned.income_90d as double)
            end as float
        ) as instalment_to_income_90d,
        cast(
            case
                when declared.declared_income > 0
                    then cast(borrowing.instalments as double) / cast(declared.declared_income as double)
            end as float
        ) as instalment_to_declared_income,
        arrears.instalments_owed,
        arrears.days_past_due,
        arrears.most_owed_365d,
        borrowing.days_in_arrears,
        borrowing.months_since_arrears,
        coalesce(returned.returned_debits_90d, 0) as returned_debits_90d,
        case
            when borrowing.has_loans_feed then coalesce(defaults.previous_defaults, 0)
            else defaults.previous_defaults
        end as previous_defaults,
        '{{ definition_hash() }}' as _definition_hash
    from existing
    inner join borrowing using (client_id, customer_id, as_of_date)
    left join arrears using (client_id, customer_id, as_of_date)
    left join returned using (client_id, customer_id, as_of_date)
    left join defaults using (client_id, customer_id, as_of_date)
    left join earned using (client_id, customer_id, as_of_date)
    left join declared using (client_id, customer_id, as_of_date)
)

select * from features
