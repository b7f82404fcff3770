{{ config(materialized='table') }}

with

matches as (
    select * from {{ ref('int_merchant_matches') }}
),

nearest_brands as (
    select * from {{ source('enrichment', 'nearest_brands') }}
    where is_accepted
),

places as (
    select * from {{ ref('places') }}
),

-- Without two letters, or a town and numbers alone, it names nobody.
decided as (
    select
        matches.descriptor,
        matches.name,
        matches.intermediary,
        matches.location,
        coalesce(matches.merchant, nearest_brands.merchant) as merchant,
        coalesce(matches.subcategory, nearest_brands.subcategory) as subcategory,
        case
            when matches.tier is not null then matches.tier
            when nearest_brands.descriptor is not null then 'nearest'
            when places.place_key is not null then 'unknown'
            when {{ matches('matches.name', '\\p{L}.*\\p{L}') }} then 'name'
            else 'unknown'
        end as tier,
        coalesce(nearest_brands.rules_version, matches.rules_version) as rules_version
    from matches
    left join nearest_brands on matches.descriptor = nearest_brands.descriptor
    left join places on {{ regex_replace_all('matches.words', '( [0-9#]+)+$', '') }} = places.place_key
),

proposals as (
    select
        descriptor,
        case
            when merchant is not null then merchant
            when tier = 'unknown' then 'unknown'
            else {{ title_case('name') }}
        end as merchant,
        intermediary,
        location,
        subcategory,
        tier,
        -- As measured on labelled descriptors: docs/reference/merchants.md.
        cast(
            case tier
                when 'rule' then 0.9
                when 'alias' then 0.98
                when 'exact' then 0.9
                when 'prefix' then 0.9
                when 'nearest' then 0.8
                when 'name' then 0.9
                else 0
            end
            as decimal(4, 3)
        ) as confidence,
        rules_version
    from decided
)

select * from proposals
