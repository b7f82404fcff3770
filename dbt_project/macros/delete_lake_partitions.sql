{% macro delete_lake_partitions(kind) -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where
        (client_id, model, as_of_date) in (
            select
                lake.client_id,
                lake.model,
                lake.as_of_date
            from {{ source('lake', kind) }} as lake
        )
    {%- endif -%}
{%- endmacro %}
