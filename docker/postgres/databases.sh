#!/bin/bash
# Runs once, when Postgres has an empty volume: a database and a user of its own for each service.
set -eu
for name in airflow operations registry superset; do
    variable="$(echo "$name" | tr '[:lower:]' '[:upper:]')_DB_PASSWORD"
    psql --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" \
        --set=name="$name" --set=password="${!variable}" <<'SQL'
create user :"name" password :'password';
create database :"name" owner :"name";
revoke all on database :"name" from public;
SQL
done
