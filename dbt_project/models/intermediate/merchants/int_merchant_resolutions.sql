-- depends_on: {{ ref('stg_base_horizon') }}
-- depends_on: {{ ref('stg_merchant_versions') }}
-- Never rebuilt from nothing: what the rules of before said cannot be computed again. A warehouse that is made anew
-- begins with what they closed, as operations.db has it.
{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['descriptor', 'known_at'],
        full_refresh=false,
        on_schema_change='fail',
    )
}}

{%- set answers = ['merchant', 'intermediary', 'location', 'subcategory', 'tier', 'confidence'] %}

with

proposals as (
    select * from {{ ref('int_merchant_proposals') }}
),

{%- if is_incremental() %}

-- What the rules of tonight say was not known before the publication that the night begins from.
base as (
    select coalesce(max(cutoff_at), cast('1970-01-01' as timestamp)) as cutoff_at from {{ ref('stg_base_horizon') }}
),

latest as (
    select * from {{ this }}
    where superseded_at is null
),

news as (
    select
        proposals.*,
        base.cutoff_at,
        latest.known_at as latest_known_at
    from proposals
    cross join base
    left join latest on proposals.descriptor = latest.descriptor
    where
        latest.descriptor is null
        {%- for column in answers %}
        or proposals.{{ column }} is distinct from latest.{{ column }}
        {%- endfor %}
),

closed as (
    select
        latest.descriptor,
        {%- for column in answers %}
        latest.{{ column }},
        {%- endfor %}
        latest.rules_version,
        latest.known_at,
        news.cutoff_at as superseded_at
    from latest
    inner join news on latest.descriptor = news.descriptor
    where latest.known_at < news.cutoff_at
),

opened as (
    select
        descriptor,
        {%- for column in answers %}
        {{ column }},
        {%- endfor %}
        rules_version,
        case when latest_known_at is null then cast('1970-01-01' as timestamp) else cutoff_at end as known_at,
        cast(null as timestamp) as superseded_at
    from news
),

versions as (
    select * from closed
    union all
    select * from opened
)
{%- else %}

closed as (
    select
        descriptor,
        {%- for column in answers %}
        {{ 'cast(confidence as decimal(4, 3)) as confidence' if column == 'confidence' else column }},
        {%- endfor %}
        rules_version,
        known_at,
        superseded_at
    from {{ ref('stg_merchant_versions') }}
),

last_closed as (
    select
        descriptor,
        max(superseded_at) as superseded_at
    from closed
    group by descriptor
),

versions as (
    select * from closed
    union all
    select
        proposals.descriptor,
        {%- for column in answers %}
        proposals.{{ column }},
        {%- endfor %}
        proposals.rules_version,
        coalesce(last_closed.superseded_at, cast('1970-01-01' as timestamp)) as known_at,
        cast(null as timestamp) as superseded_at
    from proposals
    left join last_closed on proposals.descriptor = last_closed.descriptor
)
{%- endif %}

select * from versions
