-- Near, but not near enough to be taken over without a person's look; and what the words of a name make likely.
with

looked_at as (
    select
        *,
        similarity >= 0.4 as is_near
    from {{ source('enrichment', 'nearest_brands') }}
    where not is_accepted
),

suggestions as (
    select
        descriptor,
        case when is_near then merchant end as merchant,
        coalesce(likely_subcategory, case when is_near then subcategory end) as subcategory,
        case when is_near then similarity end as similarity
    from looked_at
    where is_near or likely_subcategory is not null
)

select * from suggestions
