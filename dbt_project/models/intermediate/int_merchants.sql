{{ config(materialized='table') }}

with

transactions as (
    select distinct coalesce(nullif(trim(merchant_name), ''), description) as descriptor
    from {{ ref('stg_transactions') }}
),

-- A word with three digits in a row, or a later one of digits alone, is a reference: of a terminal, a payment, a shop.
without_references as (
    select
        descriptor,
        lower(descriptor) as lower_descriptor,
        {{ regex_replace_all('lower(descriptor)', '[^ /]*[0-9]{3}[^ /]*|[ /][0-9]+\\b', ' ') }} as words
    from transactions
),

named as (
    select
        descriptor,
        coalesce(
            nullif(trim({{ regex_replace_all('words', '[\\s/]+', ' ') }}), ''),
            nullif(trim({{ regex_replace_all('lower_descriptor', '\\s+', ' ') }}), ''),
            'unknown'
        ) as merchant,
        cast(null as varchar) as intermediary,
        cast(null as varchar) as location,
        cast(null as varchar) as subcategory,
        'unknown' as tier,
        cast(0 as decimal(4, 3)) as confidence,
        cast('1970-01-01' as timestamp) as known_at,
        cast(null as timestamp) as superseded_at
    from without_references
)

select * from named
