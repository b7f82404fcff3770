{{ config(materialized='table') }}

{%- set answers = ['merchant', 'intermediary', 'location', 'subcategory', 'tier', 'confidence', 'rules_version'] %}
{%- set history = 'partition by descriptor order by known_at' %}

with

corrections as (
    select * from {{ ref('stg_merchant_corrections') }}
    where withdrawn_at is null or withdrawn_at > known_at
),

resolutions as (
    select * from {{ ref('int_merchant_resolutions') }}
),

matches as (
    select
        resolutions.descriptor,
        corrections.correction_id,
        corrections.descriptor is not null as is_exact,
        corrections.merchant,
        corrections.subcategory,
        corrections.known_at,
        corrections.withdrawn_at
    from resolutions
    inner join corrections on resolutions.descriptor = corrections.descriptor
    where resolutions.superseded_at is null
    union all
    select
        resolutions.descriptor,
        corrections.correction_id,
        corrections.descriptor is not null as is_exact,
        corrections.merchant,
        corrections.subcategory,
        corrections.known_at,
        corrections.withdrawn_at
    from resolutions
    inner join corrections on lower(resolutions.descriptor) like corrections.pattern escape '\'
    where resolutions.superseded_at is null
),

-- Each moment at which the answer may have changed: by a rule, a correction or its withdrawal.
moments as (
    select
        descriptor,
        known_at
    from matches
    union
    select
        descriptor,
        withdrawn_at as known_at
    from matches
    where withdrawn_at is not null
    union
    select
        resolutions.descriptor,
        resolutions.known_at
    from resolutions
    where resolutions.descriptor in (select matches.descriptor from matches)
),

-- A text named whole wins over a pattern, then the newer correction.
told as (
    select
        moments.descriptor,
        coalesce(matches.merchant, resolutions.merchant) as merchant,
        resolutions.intermediary,
        resolutions.location,
        coalesce(matches.subcategory, resolutions.subcategory) as subcategory,
        case when matches.correction_id is null then resolutions.tier else 'correction' end as tier,
        case when matches.correction_id is null then resolutions.confidence else 1 end as confidence,
        case
            when matches.correction_id is null then resolutions.rules_version
            else 'correction ' || cast(matches.correction_id as varchar)
        end as rules_version,
        moments.known_at,
        row_number() over (
            partition by moments.descriptor, moments.known_at
            order by matches.is_exact desc nulls last, matches.correction_id desc nulls last
        ) as place
    from moments
    inner join resolutions
        on
            moments.descriptor = resolutions.descriptor
            and moments.known_at >= resolutions.known_at
            and (resolutions.superseded_at is null or moments.known_at < resolutions.superseded_at)
    left join matches
        on
            moments.descriptor = matches.descriptor
            and moments.known_at >= matches.known_at
            and moments.known_at < coalesce(matches.withdrawn_at, cast('9999-12-31' as timestamp))
),

compared as (
    select
        *,
        (lag(known_at) over ({{ history }}) is null)
        {%- for column in answers %}
        or ({{ column }} is distinct from lag({{ column }}) over ({{ history }}))
        {%- endfor %} as is_news
    from told
    where place = 1
),

versions as (
    select
        descriptor,
        {%- for column in answers %}
        {{ 'cast(confidence as decimal(4, 3)) as confidence' if column == 'confidence' else column }},
        {%- endfor %}
        known_at,
        lead(known_at) over ({{ history }}) as superseded_at
    from compared
    where is_news
)

select * from versions
