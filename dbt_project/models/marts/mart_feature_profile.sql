{{ config(materialized='table') }}

{#- Ranks are dear, and of more values than these the quantiles hardly move. -#}
{%- set sampled = 100000 %}

with

-- Read twice, as each reading leaves out what the other needs: the places, or all rows but those of the sample.
told as (
    select * from {{ ref('int_feature_values') }}
),

sample as (
    select * from {{ ref('int_feature_values') }}
    where place <= {{ sampled }} and feature_value is not null
),

ranked as (
    select
        *,
        row_number() over (partition by client_id, entity, feature order by feature_value, entity_id) as value_rank,
        count(*) over (partition by client_id, entity, feature) as value_count
    from sample
),

described as (
    select
        client_id,
        entity,
        feature,
        {%- for percent in [5, 25, 50, 75, 95] %}
        max(case when value_rank = ceil(value_count * {{ percent }} / 100.0) then feature_value end) as p{{ percent }},
        {%- endfor %}
        max(case when value_rank = ceil(value_count * 0.5) then entity_id end) as example_entity_id
    from ranked
    group by client_id, entity, feature
),

-- Terms are cast before they are added, so that the sum does not depend on their order.
counted as (
    select
        client_id,
        entity,
        feature,
        feature_group,
        as_of_date,
        count(*) as entities,
        count(feature_value) as values_given,
        min(feature_value) as minimum,
        max(feature_value) as maximum,
        cast(sum(cast(feature_value as decimal(38, 12))) as double) / nullif(count(feature_value), 0) as mean
    from told
    group by client_id, entity, feature, feature_group, as_of_date
),

correlated as (
    select
        {%- for place in range(1, 4) %}
        max(case when place = {{ place }} then other_feature end) as correlated_feature_{{ place }},
        max(case when place = {{ place }} then correlation end) as correlation_{{ place }},
        {%- endfor %}
        client_id,
        entity,
        feature
    from {{ ref('int_feature_correlations') }}
    group by client_id, entity, feature
),

profile as (
    select
        counted.client_id,
        counted.entity,
        counted.feature,
        counted.feature_group,
        described.example_entity_id,
        {%- for place in range(1, 4) %}
        correlated.correlated_feature_{{ place }},
        {%- endfor %}
        counted.entities,
        counted.values_given,
        cast(1 - counted.values_given / cast(counted.entities as double) as float) as missing_rate,
        cast(counted.minimum as float) as minimum,
        {%- for percent in [5, 25, 50, 75, 95] %}
        cast(described.p{{ percent }} as float) as p{{ percent }},
        {%- endfor %}
        cast(counted.maximum as float) as maximum,
        cast(counted.mean as float) as mean,
        {%- for place in range(1, 4) %}
        correlated.correlation_{{ place }},
        {%- endfor %}
        counted.as_of_date
    from counted
    left join described
        on
            counted.client_id = described.client_id
            and counted.entity = described.entity
            and counted.feature = described.feature
    left join correlated
        on
            counted.client_id = correlated.client_id
            and counted.entity = correlated.entity
            and counted.feature = correlated.feature
)

select * from profile
