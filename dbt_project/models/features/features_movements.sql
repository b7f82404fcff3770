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

days as (
    select * from {{ ref('int_days_in_order') }}
),

dates as (
    select * from {{ ref('int_dates_in_order') }}
),

new_in_time as (
    select
        transactions.*,
        days.first_date as as_of_date,
        days.first_cutoff_at as cutoff_at
    from {{ ref('int_transactions') }} as transactions
    inner join days
        on transactions.client_id = days.client_id and transactions.business_date = days.business_date
    where
        days.has_news
        and {{ after_join('transactions.version_known_at < days.first_cutoff_at') }}
        and (
            days.previous_as_of_date is null
            or transactions.business_date > days.previous_as_of_date
            or transactions.version_known_at >= days.previous_cutoff_at
        )
),

-- What the first date after the day did not know yet is new to the first date that did.
new_later as (
    select
        transactions.*,
        dates.as_of_date,
        dates.cutoff_at
    from {{ ref('int_transactions') }} as transactions
    inner join days
        on transactions.client_id = days.client_id and transactions.business_date = days.business_date
    inner join dates
        on
            transactions.client_id = dates.client_id
            and transactions.version_known_at >= dates.cutoff_before
            and transactions.version_known_at < dates.cutoff_at
    where
        days.has_late_news
        and {{ after_join('transactions.version_known_at >= days.first_cutoff_at') }}
),

new as (
    select * from new_in_time
    union all
    select * from new_later
),

features as (
    select
        client_id,
        transaction_key,
        version,
        as_of_date,
        cast(case when is_customer_initiated then 1 else 0 end as float) as is_customer_initiated,
        cast(case when amount > 0 then 1 else 0 end as float) as is_inflow,
        cast(
            case when amount < 0 and payment_mode in ('direct_debit', 'standing_order') then -base_amount end as float
        ) as collected_amount,
        '{{ definition_hash() }}' as _definition_hash
    from new
    where {{ after_join('cutoff_at > known_at and (superseded_at is null or cutoff_at <= superseded_at)') }}
)

select * from features
