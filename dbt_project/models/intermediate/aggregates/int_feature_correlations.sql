-- A table: the profile and the picture of all pairs read it, and it costs most of what the profile does.
{{ config(materialized='table') }}

{#- Enough to see what goes together; the number of pairs makes more of them expensive. -#}
{%- set sampled = 1000 %}
{%- set fewest = 30 %}

with

sample as (
    select * from {{ ref('int_feature_values') }}
    where place <= {{ sampled }} and feature_value is not null
),

-- Terms are cast before they are added, so that no sum depends on their order.
means as (
    select
        client_id,
        entity,
        feature,
        cast(sum(cast(feature_value as decimal(38, 12))) as double) / count(*) as mean
    from sample
    group by client_id, entity, feature
),

spreads as (
    select
        sample.client_id,
        sample.entity,
        sample.feature,
        means.mean,
        sqrt(
            cast(sum(cast(power(sample.feature_value - means.mean, 2) as decimal(38, 12))) as double) / count(*)
        ) as spread
    from sample
    inner join means using (client_id, entity, feature)
    group by sample.client_id, sample.entity, sample.feature, means.mean
),

standardised as (
    select
        sample.client_id,
        sample.entity,
        sample.entity_id,
        sample.feature,
        (sample.feature_value - spreads.mean) / spreads.spread as score
    from sample
    inner join spreads using (client_id, entity, feature)
    where spreads.spread > 0
),

-- A score is at most the root of the sample's size, so terms fit into 18 digits: wider ones are many times slower.
termed as (
    select
        *,
        cast(score as decimal(18, 12)) as term,
        cast(score * score as decimal(18, 12)) as square
    from standardised
),

-- Over those that have both; each pair from both sides.
summed as (
    select
        this_one.client_id,
        this_one.entity,
        this_one.feature,
        other.feature as other_feature,
        cast(count(*) as double) as n,
        cast(sum(this_one.term) as double) as sum_x,
        cast(sum(other.term) as double) as sum_y,
        cast(sum(cast(this_one.score * other.score as decimal(18, 12))) as double) as sum_xy,
        cast(sum(this_one.square) as double) as sum_xx,
        cast(sum(other.square) as double) as sum_yy
    from termed as this_one
    inner join termed as other
        on
            this_one.client_id = other.client_id
            and this_one.entity = other.entity
            and this_one.entity_id = other.entity_id
            and this_one.feature <> other.feature
    group by this_one.client_id, this_one.entity, this_one.feature, other.feature
    having count(*) >= {{ fewest }}
),

correlated as (
    select
        client_id,
        entity,
        feature,
        other_feature,
        cast(
            (n * sum_xy - sum_x * sum_y)
            / nullif(sqrt(greatest(n * sum_xx - sum_x * sum_x, 0) * greatest(n * sum_yy - sum_y * sum_y, 0)), 0)
            as float
        ) as correlation -- noqa: RF04
    from summed
),

ranked as (
    select
        client_id,
        entity,
        feature,
        other_feature,
        correlation,
        row_number() over (
            partition by client_id, entity, feature
            order by abs(correlation) desc, other_feature asc
        ) as place
    from correlated
    where correlation is not null
)

select * from ranked
