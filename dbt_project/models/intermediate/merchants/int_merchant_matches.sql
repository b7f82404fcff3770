{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
    )
}}

{#- How British supermarkets write their pumps, cut or not. -#}
{%- set petrol = ' (petrol|petro|petr|pfs|pay at pump|fuels?|filling|f s|f stn|s stn) ' -%}

with

names as (
    select * from {{ ref('int_descriptor_names') }}
    {%- if is_incremental() %}
    where descriptor not in (select known.descriptor from {{ this }} as known)
    {%- endif %}
),

rules as (
    select * from {{ ref('merchant_rules') }}
),

known_names as (
    select * from {{ ref('int_merchant_keys') }}
),

-- Where in the name a known one may stand: from its first word on, or, for few of them, later.
spans as (
    {%- for first, last in [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 2), (2, 3), (3, 3), (3, 4), (4, 4), (5, 5)] %}
    {{ 'union all' if not loop.first }}
    select
        {{ first }} as first_word,
        {{ last }} as last_word
    {%- endfor %}
),

split as (
    select
        descriptor,
        {%- for word in range(1, 6) %}
        split_part(words, ' ', {{ word }}) as word_{{ word }},
        {%- endfor %}
        replace(name, ' ', '') as name_key,
        replace(words, ' ', '') as whole_key
    from names
),

pieces as (
    select
        split.descriptor,
        split.name_key,
        split.whole_key,
        spans.first_word,
        spans.last_word,
        {%- for word in range(1, 6) %}
        {{ '|| ' if not loop.first -}}
        case when {{ word }} between spans.first_word and spans.last_word then split.word_{{ word }} else '' end
        {%- endfor %} as piece
    from split
    cross join spans
),

found as (
    select
        pieces.*,
        known_names.merchant,
        known_names.subcategory,
        known_names.position,
        known_names.source
    from pieces
    inner join known_names on pieces.piece = known_names.name_key
    where
        -- Nobody but us writes the blanks of `hobby craft` on purpose: of brands, `terra nova` is not Terranova.
        (
            known_names.source = 'alias'
            or pieces.first_word = pieces.last_word
            or position(' ' in known_names.written_key) > 0
        )
        and case known_names.position
            when 'anywhere' then true
            when 'last' then pieces.first_word = 1 or right(pieces.whole_key, length(pieces.piece)) = pieces.piece
            when 'exact' then pieces.first_word = 1 and pieces.piece in (pieces.name_key, pieces.whole_key)
            else pieces.first_word = 1
        end
),

-- A motorway service area is where, not whom: another name after it counts more.
known as (
    select
        descriptor,
        merchant,
        subcategory,
        case
            when source = 'alias' then 'alias'
            when piece = name_key then 'exact'
            else 'prefix'
        end as tier
    from found
    qualify
        row_number() over (
            partition by descriptor
            order by
                case when position = 'venue' then 1 else 0 end asc,
                first_word asc,
                length(piece) desc,
                source asc,
                merchant asc
        ) = 1
),

-- Joined by the first word, so that not every rule is held against every name.
ruled_by_start as (
    select
        names.descriptor,
        rules.merchant,
        rules.subcategory,
        length(rules.phrase) + 1000 as precedence
    from names
    inner join rules
        on
            split_part(names.all_words, ' ', 1) = split_part(rules.phrase, ' ', 1)
            and left(names.all_words || ' ', length(rules.phrase) + 1) = rules.phrase || ' '
    where rules.position = 'start'
),

ruled_by_word as (
    select
        names.descriptor,
        rules.merchant,
        rules.subcategory,
        length(rules.phrase) as precedence
    from names
    inner join rules on position(' ' || rules.phrase || ' ' in ' ' || names.all_words || ' ') > 0
    where rules.position = 'anywhere'
),

ruled as (
    select * from ruled_by_start
    union all
    select * from ruled_by_word
),

deciding as (
    select * from ruled
    qualify row_number() over (partition by descriptor order by precedence desc) = 1
),

matched as (
    select
        names.descriptor,
        names.words,
        names.name,
        names.intermediary,
        names.location,
        coalesce(deciding.merchant, case when deciding.descriptor is null then known.merchant end) as merchant,
        coalesce(
            deciding.subcategory,
            case
                when
                    known.subcategory in ('supermarket', 'convenience')
                    and {{ matches("' ' || names.words || ' '", petrol) }}
                    then 'fuel'
                else known.subcategory
            end
        ) as subcategory,
        case when deciding.descriptor is not null then 'rule' else known.tier end as tier,
        '{{ definition_hash()[:12] }}' as rules_version
    from names
    left join deciding on names.descriptor = deciding.descriptor
    left join known on names.descriptor = known.descriptor
)

select * from matched
