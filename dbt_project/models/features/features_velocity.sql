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

payments as (
    select
        client_id,
        transaction_key,
        version,
        place,
        amount,
        first_seen_on as as_of_date,
        business_date,
        event_at
    from {{ ref('int_payments_seen') }}
    where is_scored
),

cards as (
    select
        *,
        -- Clocks are not that exact: two payments within a minute count as a minute apart.
        greatest({{ dbt.datediff('located_at', 'event_at', 'second') }}, 60) / 3600.0 as hours_apart,
        -- The great circle on a sphere of the earth's mean radius (haversine).
        case
            when event_at is not null and latitude is not null and from_latitude is not null
                then
                    2 * 6371.0088 * asin(
                        sqrt(
                            least(
                                power(sin(radians(cast(latitude - from_latitude as double)) / 2), 2)
                                + cos(radians(cast(from_latitude as double))) * cos(radians(cast(latitude as double)))
                                * power(sin(radians(cast(longitude - from_longitude as double)) / 2), 2),
                                1
                            )
                        )
                    )
        end as km
    from {{ ref('int_velocity_windowed') }}
),

hours as (
    select * from {{ ref('int_velocity_hourly') }}
),

places as (
    select * from {{ ref('int_places_windowed') }}
),

rates as (
    select * from {{ ref('int_place_rates') }}
),

devices as (
    select * from {{ ref('int_devices_seen') }}
),

features as (
    select
        payments.client_id,
        payments.transaction_key,
        payments.version,
        payments.as_of_date,
        -- Where nothing came before within the day there is no row.
        {%- for feature in ['card_transactions_1h', 'card_amount_1h', 'card_amount_24h'] %}
        cast(case when payments.event_at is not null then coalesce(hours.{{ feature }}, 0) end as float)
            as {{ feature }},
        {%- endfor %}
        cast(cards.card_transactions_7d as float) as card_transactions_7d,
        cast(coalesce(cards.card_amount_7d, 0) as float) as card_amount_7d,
        cast(
            cast(payments.amount as double) / nullif(cast(cards.card_max_amount_30d as double), 0) as float
        ) as amount_to_card_max_30d,
        cast(cards.km as float) as km_since_previous,
        cast(cards.km / cards.hours_apart as float) as kmh_since_previous,
        {%- for feature in ['customer_transactions_24h', 'customer_merchants_24h'] %}
        cast(case when payments.event_at is not null then coalesce(hours.{{ feature }}, 0) end as float)
            as {{ feature }},
        {%- endfor %}
        cast(
            case
                when payments.event_at is not null
                    then {{ dbt.datediff('devices.new_device_at', 'payments.event_at', 'second') }}
            end as float
        ) as seconds_since_new_device,
        cast(devices.new_devices_7d as float) as new_devices_7d,
        cast(places.merchant_transactions_1h as float) as merchant_transactions_1h,
        cast(
            cast(payments.amount as double) * rates.transactions_30d
            / nullif(cast(rates.amount_30d as double), 0) as float
        ) as amount_to_merchant_mean_30d,
        rates.merchant_fraud_rate_7d,
        rates.merchant_fraud_rate_90d,
        cast(places.terminal_transactions_1h as float) as terminal_transactions_1h,
        cast(places.terminal_transactions_24h as float) as terminal_transactions_24h,
        '{{ definition_hash() }}' as _definition_hash
    from payments
    inner join cards
        on
            payments.client_id = cards.client_id
            and payments.transaction_key = cards.transaction_key
            and payments.as_of_date = cards.as_of_date
    left join hours
        on
            payments.client_id = hours.client_id
            and payments.transaction_key = hours.transaction_key
            and payments.as_of_date = hours.as_of_date
    left join places
        on
            payments.client_id = places.client_id
            and payments.transaction_key = places.transaction_key
            and payments.as_of_date = places.as_of_date
    left join rates
        on
            payments.client_id = rates.client_id
            and payments.place = rates.place
            and payments.business_date = rates.business_date
            and payments.as_of_date = rates.as_of_date
    left join devices
        on
            payments.client_id = devices.client_id
            and payments.transaction_key = devices.transaction_key
            and payments.as_of_date = devices.as_of_date
)

select * from features
