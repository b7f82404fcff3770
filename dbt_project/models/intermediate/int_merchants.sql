{{ config(materialized='table') }}

with

transactions as (
    select distinct description from {{ ref('stg_transactions') }}
),

-- A word with three digits in a row, or a later one of digits alone, is a reference: of a terminal, a payment, a shop.
without_references as (
    select
        description,
        lower(description) as lower_description,
        {{ regex_replace_all('lower(description)', '[^ /]*[0-9]{3}[^ /]*|[ /][0-9]+\\b', ' ') }} as words
    from transactions
),

named as (
    select
        description,
        coalesce(
            nullif(trim({{ regex_replace_all('words', '[\\s/]+', ' ') }}), ''),
            nullif(trim({{ regex_replace_all('lower_description', '\\s+', ' ') }}), ''),
            'unknown'
        ) as merchant
    from without_references
)

select * from named
