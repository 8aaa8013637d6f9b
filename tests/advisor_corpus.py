"""A database of what real ones have, and statements as applications write them, for the advisor's robustness."""

from __future__ import annotations

from collections.abc import Sequence

SCHEMA = (
    'CREATE SCHEMA "Kitchen Ops"',
    """CREATE TABLE readings (id bigint, reader text, taken timestamptz NOT NULL, day date GENERATED ALWAYS AS
        ((taken AT TIME ZONE 'UTC')::date) STORED, value numeric) PARTITION BY RANGE (taken)""",
    *(
        f"""CREATE TABLE readings_{month} PARTITION OF readings
            FOR VALUES FROM ('2026-0{month}-01') TO ('2026-0{month + 1}-01')"""
        for month in range(1, 5)
    ),
    """INSERT INTO readings (id, reader, taken, value) SELECT n, 'r' || n % 700,
        timestamptz '2026-01-01 UTC' + n * interval '150 seconds', n % 91 FROM generate_series(1, 60000) n""",
    """CREATE TABLE "Kitchen Ops"."Order" ("Id" integer PRIMARY KEY, "userId" integer, "select" text, tags text[],
        data jsonb, span int4range, during interval, flag boolean, note text, mail text)""",
    """INSERT INTO "Kitchen Ops"."Order" SELECT n, n % 4000, 's' || n % 300, ARRAY['t' || n % 50, 'u' || n % 7],
        jsonb_build_object('kind', 'k' || n % 90, 'n', n), int4range(n, n + 5), n % 60 * interval '1 minute',
        n % 20 = 0, 'note ' || md5(n::text), 'Mail' || n || '@X.example' FROM generate_series(1, 40000) n""",
    """CREATE TABLE people (id integer PRIMARY KEY, name text, born date, boss integer, code char(6), ip inet)""",
    """INSERT INTO people SELECT n, 'Name ' || n % 9000, date '1960-01-01' + n % 20000, nullif(n / 10, 0),
        lpad((n % 999)::text, 6, '0'), '10.0.0.0'::inet + n FROM generate_series(1, 30000) n""",
    "CREATE TABLE deliveries (id integer, gate text, at timestamptz)",
    "CREATE TABLE late_deliveries (why text) INHERITS (deliveries)",
    "INSERT INTO deliveries SELECT n, 'g' || n % 900, now() - n * interval '1 h' FROM generate_series(1, 20000) n",
    "INSERT INTO late_deliveries SELECT n, 'g' || n % 900, now(), 'rain' FROM generate_series(1, 20000) n",
    """CREATE VIEW current_orders AS SELECT o."Id" AS order_id, o."userId" AS user_id, o.note, p.name
        FROM "Kitchen Ops"."Order" o JOIN people p ON p.id = o."userId" WHERE o.flag""",
    """CREATE MATERIALIZED VIEW by_reader AS SELECT reader, day, count(*) AS n, sum(value) AS total
        FROM readings GROUP BY 1, 2""",
    "VACUUM (ANALYZE)",
)

ABROAD = (
    "CREATE EXTENSION postgres_fdw",
    "CREATE SERVER abroad FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1')",
    "CREATE TABLE visits (id integer, school integer, at date) PARTITION BY LIST (school)",
    "CREATE TABLE visits_here PARTITION OF visits FOR VALUES IN (1, 2, 3)",
    "CREATE FOREIGN TABLE visits_abroad PARTITION OF visits FOR VALUES IN (4) SERVER abroad",
    "INSERT INTO visits_here SELECT n, 1 + n % 3, date '2026-01-01' + n % 90 FROM generate_series(1, 30000) n",
    "ANALYZE visits_here",
    "ALTER TABLE visits_here OWNER TO hasivu_app",
    "GRANT SELECT ON visits, visits_here, visits_abroad TO PUBLIC",
)
"""A table one partition of which is on a server that is never asked; only a superuser can make it."""

ORDER = '"Kitchen Ops"."Order"'
STATEMENTS: Sequence[tuple[str, Sequence[object]]] = (
    ("SELECT * FROM readings WHERE reader = %s AND taken > %s ORDER BY taken DESC LIMIT %s", ("r7", "2026-02-01", 5)),
    ("SELECT count(*) FROM readings WHERE day = %s", ("2026-02-03",)),
    ("SELECT sum(total) FROM by_reader WHERE reader = %s", ("r8",)),
    ("SELECT value FROM readings_2 WHERE id = %s", (20000,)),
    (f'SELECT "select" FROM {ORDER} WHERE "userId" = %s AND flag', (7,)),
    (f'SELECT "Id" FROM {ORDER} WHERE "userId" IN (%s, %s, %s)', (1, 2, 3)),
    (f'SELECT "Id" FROM {ORDER} WHERE "userId" = ANY (%s)', ([1, 2, 3],)),
    (f"SELECT count(*) FROM {ORDER} WHERE tags @> ARRAY[%s]", ("t7",)),
    (f"SELECT count(*) FROM {ORDER} WHERE tags && %s::text[]", (["t7", "u1"],)),
    (f"SELECT count(*) FROM {ORDER} WHERE data @> %s::jsonb", ('{"kind": "k3"}',)),
    (f"SELECT count(*) FROM {ORDER} WHERE data ->> 'kind' = %s", ("k4",)),
    (f"SELECT count(*) FROM {ORDER} WHERE (data ->> 'n')::int BETWEEN %s AND %s", (5, 9)),
    (f"SELECT count(*) FROM {ORDER} WHERE span @> %s::int4", (77,)),
    (f"SELECT count(*) FROM {ORDER} WHERE during > %s::interval", ("50 minutes",)),
    (f"SELECT count(*) FROM {ORDER} WHERE note LIKE %s AND note NOT ILIKE %s", ("note a%", "%zz%")),
    (f"SELECT mail FROM {ORDER} WHERE lower(mail) = %s", ("mail5@x.example",)),
    ("SELECT note FROM current_orders WHERE user_id = %s ORDER BY order_id LIMIT 10", (40,)),
    ("SELECT count(*) FROM people WHERE born BETWEEN %s::date AND %s::date + 30", ("1970-01-01", "1970-01-01")),
    ("SELECT count(*) FROM people WHERE born > date '2014-01-01' - interval '10 days'", ()),
    ("SELECT count(*) FROM people WHERE extract(year FROM born) = %s AND code = %s", (1975, "000123")),
    ("""SELECT count(*) FROM people WHERE extract(year FROM born) = %s
        AND date_trunc('month', born::timestamp) = %s""", (1975, "1975-03-01")),
    ("SELECT date_part('dow', born), count(*) FROM people WHERE date_part('year', born) > %s GROUP BY 1", (2000,)),
    ("SELECT id FROM deliveries WHERE gate = %s ORDER BY at DESC LIMIT 5", ("g7",)),
    ("SELECT id FROM late_deliveries WHERE gate = %s AND why = %s", ("g7", "rain")),
    ("SELECT id FROM visits WHERE id = %s AND school = %s", (40, 2)),
    ("SELECT school FROM visits_here WHERE id = %s", (40,)),
    ("SELECT name FROM people WHERE ip <<= %s::inet", ("10.0.0.0/28",)),
    ("SELECT coalesce(name, %s), round(id * %s, 2) FROM people WHERE name = %s", ("-", 1.5, "Name 5")),
    ("SELECT substring(name, %s::int, %s::int), count(*) FROM people GROUP BY 1 HAVING count(*) > %s", (1, 6, 10)),
    ("SELECT CASE WHEN boss = %s THEN %s ELSE %s END FROM people WHERE id = %s", (1, "a", "b", 9)),
    ("SELECT * FROM people WHERE (name, boss) = (%s, %s)", ("Name 7", 3)),
    ("SELECT p.name, b.name FROM people p LEFT JOIN people b ON b.id = p.boss WHERE p.boss = %s", (77,)),
    ("""WITH RECURSIVE t AS (SELECT id, boss FROM people WHERE id = %s UNION ALL
        SELECT p.id, p.boss FROM people p JOIN t ON p.boss = t.id) SELECT count(*) FROM t""", (900,)),
    ("""SELECT * FROM (SELECT name, rank() OVER (PARTITION BY boss ORDER BY born DESC) AS r FROM people
        WHERE boss < %s) x WHERE r <= %s""", (50, 2)),
    ("""SELECT id FROM people WHERE boss = %s UNION ALL SELECT "Id" FROM "Kitchen Ops"."Order"
        WHERE "userId" = %s""", (4, 4)),
    ("""SELECT count(*) FROM people p WHERE EXISTS (SELECT FROM people b WHERE b.boss = p.id AND
        b.born > %s)""", ("2000-01-01",)),
    ("SELECT x.n, p.name FROM generate_series(1, %s) AS x(n) JOIN people p ON p.id = x.n", (5,)),
    (f"""SELECT p.name, o.note FROM people p, LATERAL (SELECT note FROM {ORDER} WHERE "userId" = p.id
        ORDER BY "Id" DESC LIMIT %s) o WHERE p.id < %s""", (2, 6)),
    ("""SELECT DISTINCT ON (boss) boss, name FROM people WHERE born < %s ORDER BY boss, born DESC
        LIMIT %s OFFSET %s""", ("1961-01-01", 5, 5)),
    ("SELECT grouping(boss), sum(id) FROM people WHERE id < %s GROUP BY ROLLUP (boss)", (100,)),
    ("""SELECT string_agg(name, %s ORDER BY id), count(*) FILTER (WHERE boss > %s) FROM people WHERE
        id < %s""", (",", 3, 30)),
    ("""SELECT to_char(born, %s), count(*) FROM people WHERE born >= now() - make_interval(years =>
        %s) GROUP BY 1""", ("YYYY", 40)),
    ("""SELECT now() - make_interval(secs => %s), %s::text || name FROM people
        WHERE name ~ %s LIMIT 3""", (5, "x", "^Name 1.$")),
    ("UPDATE people SET name = %s WHERE boss = %s AND born < %s", ("Name x", 5, "1962-01-01")),
    ("DELETE FROM people WHERE id = %s AND code IS NULL", (1,)),
    ("""INSERT INTO people (id, name) VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET name =
        excluded.name""", (5, "Name 5")),
    ("MERGE INTO people p USING (SELECT %s::int AS id) s ON s.id = p.id WHEN MATCHED THEN UPDATE SET boss = 1", (8,)),
    ("SELECT * FROM people WHERE " + " OR ".join(["(boss = %s AND name = %s)"] * 150), [1, "Name 1"] * 150),
    ("SELECT name FROM people TABLESAMPLE SYSTEM (10) WHERE boss = %s", (3,)),
    ("SELECT id FROM people WHERE boss = %s FOR UPDATE SKIP LOCKED", (3,)),
    ("TABLE by_reader", ()),
)  # fmt: skip
