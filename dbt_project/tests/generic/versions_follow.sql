{% test versions_follow(model, columns) %}

select *
from (
    select
        {{ columns | join(', ') }},
        known_at,
        superseded_at,
        lead(known_at) over (partition by {{ columns | join(', ') }} order by known_at) as next_known_at
    from {{ model }}
) as versions
where superseded_at is distinct from next_known_at

{% endtest %}
