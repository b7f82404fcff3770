{#- Entries of consents are looked up as `like '%;entry;%'`. -#}
{% macro known_customers(dates) -%}
    select
        {{ dates }}.client_id,
        versions.customer_id,
        versions.birth_year,
        versions.consents,
        ';' || replace(replace(lower(coalesce(versions.consents, '')), ' ', ''), ',', ';') || ';' as entries,
        {{ dates }}.as_of_date
    from {{ dates }}
    inner join {{ ref('int_customers') }} as versions
        on
            {{ dates }}.client_id = versions.client_id
            and {{ dates }}.cutoff_at > versions.known_at
            and (versions.superseded_at is null or {{ dates }}.cutoff_at <= versions.superseded_at)
    where versions.closed_on is null or versions.closed_on > {{ dates }}.as_of_date
{%- endmacro %}
