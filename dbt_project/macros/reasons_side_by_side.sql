{#- Three reasons of a score on one row. `condition` keeps the history that nobody asks for out of the sums. -#}
{%- macro reasons_side_by_side(condition) -%}
    select
        client_id,
        model,
        model_version,
        entity,
        entity_id,
        as_of_date,
        {%- for rank in range(1, 4) %}
        max(case when rank = {{ rank }} then text end) as reason_{{ rank }}{{ "," if not loop.last }}
        {%- endfor %}
    from {{ ref('fct_score_reasons') }}
    where rank <= 3 and {{ condition }}
    group by client_id, model, model_version, entity, entity_id, as_of_date
{%- endmacro -%}
