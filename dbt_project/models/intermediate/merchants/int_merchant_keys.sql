{{ config(materialized='table') }}

with

aliases as (
    select * from {{ ref('merchant_aliases') }}
),

brands as (
    select * from {{ ref('brands') }}
),

clients as (
    select distinct lower(country) as country from {{ ref('stg_clients') }}
),

-- A brand of countries in which no client is would only be mistaken for shops of the same name.
served as (
    select
        brands.brand_key,
        brands.merchant,
        brands.subcategory,
        brands.is_common,
        brands.countries
    from brands
    where
        brands.countries is null
        or exists (
            select 1 from clients
            where clients.country is null or position(clients.country in brands.countries) > 0
        )
),

named as (
    select
        replace(alias_key, ' ', '') as name_key,
        alias_key as written_key,
        merchant,
        subcategory,
        position,
        'alias' as source,
        cast(null as varchar) as countries
    from aliases
    union all
    select
        replace(brand_key, ' ', '') as name_key,
        brand_key as written_key,
        merchant,
        subcategory,
        case when is_common then 'exact' else 'start' end as position,
        'brand' as source,
        countries
    from served
),

-- Written with and without blanks it is one name. An alias counts before brands; of these, the one of fewer countries.
keys as (
    select
        name_key,
        written_key,
        merchant,
        subcategory,
        position,
        source
    from named
    qualify
        row_number() over (
            partition by name_key
            order by source, coalesce(length(countries), 1000), written_key, merchant, subcategory
        ) = 1
)

select * from keys
