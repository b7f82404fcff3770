{% macro matched_greedily(candidates, rounds=4) -%}
    {%- set collides = "better.valid_from < worse.valid_to and worse.valid_from < better.valid_to" -%}
    {%- set open = namespace(pairs=candidates) -%}
    {%- for number in range(1, rounds + 1) -%}
chosen_{{ number }} as (
    select worse.*
    from {{ open.pairs }} as worse
    where
        not exists (
            select 1 from {{ open.pairs }} as better
            where better.first_key = worse.first_key and better.rank < worse.rank and {{ collides }}
        )
        and not exists (
            select 1 from {{ open.pairs }} as better
            where better.taken_key = worse.taken_key and better.rank < worse.rank and {{ collides }}
        )
),

open_{{ number }} as (
    select worse.*
    from {{ open.pairs }} as worse
    where
        not exists (
            select 1 from chosen_{{ number }} as better
            where better.first_key = worse.first_key and {{ collides }}
        )
        and not exists (
            select 1 from chosen_{{ number }} as better
            where better.taken_key = worse.taken_key and {{ collides }}
        )
),

        {% set open.pairs = "open_" ~ number -%}
    {%- endfor -%}
matched as (
    {%- for number in range(1, rounds + 1) %}
    select * from chosen_{{ number }}
    {%- if not loop.last %}
    union all
    {%- endif -%}
    {%- endfor %}
)
{%- endmacro %}
