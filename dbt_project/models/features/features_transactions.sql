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

clients as (
    select * from {{ ref('stg_clients') }}
),

dates as (
    select * from {{ ref('int_dates_in_order') }}
),

customers as (
    select * from {{ ref('int_customers') }}
),

payments as (
    select
        client_id,
        customer_id,
        transaction_key,
        version,
        first_seen_on as as_of_date,
        payment_mode,
        city,
        country,
        place,
        amount,
        business_date,
        event_at,
        starts_at,
        ends_at
    from {{ ref('int_payments_seen') }}
    where is_scored
),

windowed as (
    select * from {{ ref('int_patterns_windowed') }}
),

recounted as (
    select * from {{ ref('int_patterns_recounted') }}
),

visits_corrected as (
    select * from {{ ref('int_visits_corrected') }}
),

rates as (
    select * from {{ ref('int_place_rates') }}
),

payment_modes as (
    select * from {{ ref('payment_modes') }}
),

-- Where a row was looked at one by one, all its patterns are those; an empty history is an answer too.
patterns as (
    select
        payments.*,
        {%- for pattern in [
            'previous_at', 'transactions_24h', 'spend_24h', 'spend_90d', 'median_amount', 'deviation'
        ] %}
        case when recounted.transaction_key is null then windowed.{{ pattern }} else recounted.{{ pattern }} end
            as known_{{ pattern }},
        {%- endfor %}
        case
            when recounted.transaction_key is null
                then windowed.earlier_visits + coalesce(visits_corrected.visits_more, 0)
            else recounted.earlier_visits
        end as known_earlier_visits
    from payments
    inner join windowed
        on
            payments.client_id = windowed.client_id
            and payments.transaction_key = windowed.transaction_key
            and payments.as_of_date = windowed.as_of_date
    left join recounted
        on
            payments.client_id = recounted.client_id
            and payments.transaction_key = recounted.transaction_key
            and payments.as_of_date = recounted.as_of_date
    left join visits_corrected
        on
            payments.client_id = visits_corrected.client_id
            and payments.transaction_key = visits_corrected.transaction_key
            and payments.as_of_date = visits_corrected.as_of_date
),

homes as (
    select
        dates.client_id,
        dates.as_of_date,
        customers.customer_id,
        nullif(lower(trim(customers.city)), '') as city,
        nullif(lower(trim(customers.country)), '') as country
    from dates
    inner join customers
        on
            dates.client_id = customers.client_id
            and dates.cutoff_at > customers.known_at
            and (customers.superseded_at is null or dates.cutoff_at <= customers.superseded_at)
),

features as (
    select
        patterns.client_id,
        patterns.transaction_key,
        patterns.version,
        patterns.as_of_date,
        -- A day of 24 hours has the same clock all day; to ask the calendar of each row costs twenty times as much.
        cast(
            case
                when
                    patterns.event_at between patterns.starts_at and patterns.ends_at
                    and {{ dbt.datediff('patterns.starts_at', 'patterns.ends_at', 'second') }} = 86399
                    then floor({{ dbt.datediff('patterns.starts_at', 'patterns.event_at', 'second') }} / 3600)
                else {{ local_hour('patterns.event_at', 'clients.timezone') }}
            end as float
        ) as hour_of_day,
        cast(
            case
                when lower(trim(patterns.country)) <> homes.country then 1
                when lower(trim(patterns.city)) <> homes.city then 1
                when lower(trim(patterns.city)) = homes.city then 0
                when lower(trim(patterns.country)) = homes.country and homes.city is null then 0
            end as float
        ) as is_away,
        cast(case when patterns.known_earlier_visits = 0 then 1 else 0 end as float) as is_new_merchant,
        rates.merchant_fraud_rate_28d,
        cast(
            case
                when patterns.event_at is not null
                    then {{ dbt.datediff('patterns.known_previous_at', 'patterns.event_at', 'second') }}
            end as float
        ) as seconds_since_previous,
        cast(case when patterns.event_at is not null then patterns.known_transactions_24h end as float)
            as transactions_24h,
        cast(
            case
                when patterns.event_at is not null and patterns.known_spend_90d > 0
                    then
                        90 * cast(coalesce(patterns.known_spend_24h, 0) as double)
                        / cast(patterns.known_spend_90d as double)
            end as float
        ) as spend_24h_ratio,
        cast(
            (cast(patterns.amount as double) - patterns.known_median_amount)
            / nullif(1.4826 * patterns.known_deviation, 0) as float
        ) as amount_zscore_90d,
        cast(patterns.amount as float) as amount,
        cast(payment_modes.code as float) as payment_mode,
        '{{ definition_hash() }}' as _definition_hash
    from patterns
    inner join clients on patterns.client_id = clients.client_id
    left join homes
        on
            patterns.client_id = homes.client_id
            and patterns.customer_id = homes.customer_id
            and patterns.as_of_date = homes.as_of_date
    left join rates
        on
            patterns.client_id = rates.client_id
            and patterns.place = rates.place
            and patterns.business_date = rates.business_date
            and patterns.as_of_date = rates.as_of_date
    left join payment_modes on patterns.payment_mode = payment_modes.payment_mode
)

select * from features
