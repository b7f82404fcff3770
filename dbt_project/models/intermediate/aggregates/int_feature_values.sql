{#- The columns of the feature tables say which features there are; there is no list of them here. -#}
{%- set tables = [
    ("customer", "features_customers", "customer_id"),
    ("transaction", "features_transactions", "transaction_key"),
] %}

with

horizon as (
    select * from {{ ref('stg_horizon') }}
),

{% for entity, model, key in tables %}
{{ entity }}s as (
    select
        features.*,
        row_number() over (
            partition by features.client_id order by md5(features.{{ key }}), features.{{ key }}
        ) as place
    from {{ ref(model) }} as features
    inner join horizon on features.client_id = horizon.client_id and features.as_of_date = horizon.as_of_date
),

{% endfor %}
told as (
    {%- for entity, model, key in tables %}
    {%- for feature, group in feature_columns(model) %}
    select
        client_id,
        '{{ entity }}' as entity,
        {{ key }} as entity_id,
        '{{ feature }}' as feature,
        '{{ group }}' as feature_group,
        as_of_date,
        place,
        cast({{ feature }} as float) as feature_value
    from {{ entity }}s
    union all
    {%- endfor %}
    {%- endfor %}
    select
        cast(null as varchar) as client_id,
        cast(null as varchar) as entity,
        cast(null as varchar) as entity_id,
        cast(null as varchar) as feature,
        cast(null as varchar) as feature_group,
        cast(null as date) as as_of_date,
        cast(null as bigint) as place,
        cast(null as float) as feature_value
    from horizon
    where false
)

select * from told
