{{ config(materialized='table') }}

with

categories as (
    select * from {{ ref('categories') }}
),

defaults as (
    select * from {{ ref('movements') }}
),

pairs as (
    select
        pairs.*,
        categories.category,
        categories.subcategory
    from {{ ref('int_own_transfers') }} as pairs
    inner join defaults on pairs.movement = defaults.movement
    inner join categories on defaults.subcategory = categories.subcategory
),

refunds as (
    select * from {{ ref('int_refunds') }}
),

sides as (
    {%- for this_one, other in (('first', 'second'), ('second', 'first')) %}
    select
        client_id,
        {{ this_one }}_key as transaction_key,
        {{ this_one }}_version as version, -- noqa: RF04
        {{ this_one }}_date as business_date,
        {{ this_one }}_from as row_from,
        {{ this_one }}_to as row_to,
        movement,
        category,
        subcategory,
        'movement' as category_tier,
        cast(null as varchar) as refunded_key,
        {{ other }}_key as paired_key,
        {{ this_one }}_movement <> movement as is_changed,
        valid_from,
        valid_to
    from pairs
    union all
    {%- endfor %}
    select
        client_id,
        first_key as transaction_key,
        first_version as version, -- noqa: RF04
        first_date as business_date,
        first_from as row_from,
        first_to as row_to,
        movement,
        category,
        subcategory,
        category_tier,
        second_key as refunded_key,
        cast(null as varchar) as paired_key,
        first_subcategory <> subcategory as is_changed,
        valid_from,
        valid_to
    from refunds
),

placed as (
    select
        *,
        max(cast(is_changed as integer)) over (partition by transaction_key, version, row_from) = 1 as is_split,
        row_number() over side as place,
        lead(valid_from) over side as next_from
    from sides
    window side as (partition by transaction_key, version, row_from order by valid_from)
),

-- Where the match changes nothing that is added up, the whole row names the one that holds to its end. Else the row
-- says one thing before, another while the match holds, and what it said before once more after.
whole as (
    select * from placed
    where not is_split and valid_to = row_to
),

split as (
    select * from placed
    where is_split
),

parts as (
    {%- for part, start, stop, condition in (
        ('whole', 'row_from', 'row_to', 'true'),
        ('split', 'valid_from', 'valid_to', 'true'),
        ('before', 'row_from', 'valid_from', 'place = 1 and row_from < valid_from'),
        ('after', 'valid_to', 'coalesce(next_from, row_to)', 'valid_to < coalesce(next_from, row_to)'),
    ) %}
    {%- set matched = part in ('whole', 'split') %}
    select
        client_id,
        transaction_key,
        version, -- noqa: RF04
        business_date,
        row_from,
        {%- for column in ('movement', 'category', 'subcategory', 'category_tier', 'refunded_key', 'paired_key') %}
        {{ column if matched else 'null' }} as {{ column }},
        {%- endfor %}
        {{ start }} as known_at,
        nullif({{ stop }}, cast('9999-12-31' as timestamp)) as superseded_at
    from {{ part if part == 'whole' else 'split' }}
    where {{ condition }}
    {{- '\n    union all' if not loop.last }}
    {%- endfor %}
)

select * from parts
