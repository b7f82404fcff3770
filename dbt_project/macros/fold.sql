{% macro fold(expression) -%}
    {{ return(adapter.dispatch('fold')(expression)) }}
{%- endmacro %}

{% macro default__fold(expression) -%}
    {%- set plain = "translate(lower(" ~ expression ~ "), 'àáâãäåçèéêëìíîïñòóôõöøùúûüýÿ', 'aaaaaaceeeeiiiinoooooouuuuyy')" -%}
    trim({{ regex_replace_all(regex_replace_all(plain, "[''’`]", ""), "[^\\p{L}\\p{M}\\p{N}#]+", " ") }})
{%- endmacro %}

{% macro duckdb__fold(expression) -%}
    {%- set plain = "strip_accents(lower(" ~ expression ~ "))" -%}
    trim({{ regex_replace_all(regex_replace_all(plain, "[''’`]", ""), "[^\\p{L}\\p{M}\\p{N}#]+", " ") }})
{%- endmacro %}
