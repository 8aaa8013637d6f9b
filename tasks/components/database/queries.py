"""Catalogue queries: every name is qualified, nothing but SELECT.

`{…}` is filled by `filled`: real sizes need a short lock on each relation, which a session that holds the relation
exclusively denies; then the pages that VACUUM or ANALYZE last counted stand in.
"""

from __future__ import annotations

from tasks.components.database.facts import PG15

_USER_SCHEMAS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
_BLOCK = "current_setting('block_size')::bigint"


def filled(query: str, *, exact: bool = True) -> str:
    """A query for the schemas of users, with real sizes or with those of the catalogue."""
    if exact:
        sizes = {
            "{bytes}": "pg_catalog.pg_relation_size(c.oid)",
            "{total}": "pg_catalog.pg_total_relation_size(c.oid)",
            "{indexes}": "pg_catalog.pg_indexes_size(c.oid)",
        }
    else:
        sizes = {"{bytes}": f"c.relpages * {_BLOCK}", "{total}": "NULL::bigint", "{indexes}": "NULL::bigint"}
    for name, value in {**sizes, "{user}": _USER_SCHEMAS}.items():
        query = query.replace(name, value)
    return query


DATABASE = """
SELECT numbackends, xact_commit, xact_rollback, blks_read, blks_hit, tup_returned, tup_fetched, tup_inserted,
       tup_updated, tup_deleted, conflicts, temp_files, temp_bytes, deadlocks, blk_read_time, blk_write_time,
       stats_reset
FROM pg_catalog.pg_stat_database WHERE datname = current_database()"""

TABLES = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.reltuples::float8 AS estimated_rows,
       c.relpages AS pages, {bytes} AS bytes, {total} AS total_bytes, {indexes} AS index_bytes,
       s.n_live_tup AS live, s.n_dead_tup AS dead, s.n_mod_since_analyze AS modified_since_analyze,
       greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum,
       greatest(s.last_analyze, s.last_autoanalyze) AS last_analyze,
       CASE WHEN c.relfrozenxid <> '0'::xid THEN pg_catalog.age(c.relfrozenxid) END AS frozen_age,
       c.reloptions AS options, s.seq_scan, s.seq_tup_read AS seq_rows, s.idx_scan, s.idx_tup_fetch AS idx_rows,
       s.n_tup_ins AS inserts, s.n_tup_upd AS updates, s.n_tup_hot_upd AS hot_updates, s.n_tup_del AS deletes,
       coalesce(i.heap_blks_hit, 0) + coalesce(i.idx_blks_hit, 0) AS blocks_hit,
       coalesce(i.heap_blks_read, 0) + coalesce(i.idx_blks_read, 0) AS blocks_read
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_user_tables s ON s.relid = c.oid
LEFT JOIN pg_catalog.pg_statio_user_tables i ON i.relid = c.oid
WHERE c.relkind IN ('r', 'm', 'p') AND {user}"""

TABLE_COUNTERS = (
    "seq_scan",
    "seq_rows",
    "idx_scan",
    "idx_rows",
    "inserts",
    "updates",
    "hot_updates",
    "deletes",
    "blocks_hit",
    "blocks_read",
)
"""Columns of TABLES that only grow."""


def indexes(version: int) -> str:
    """All indexes with what tells two of them apart; NULLS NOT DISTINCT since PostgreSQL 15."""
    return _INDEXES.replace("{distinct}", "x.indnullsnotdistinct" if version >= PG15 else "false")


_INDEXES = """
SELECT c.oid, x.indrelid AS table_oid, n.nspname AS schema, t.relname AS table, c.relname AS name,
       a.amname AS method,
       ARRAY(SELECT pg_catalog.pg_get_indexdef(x.indexrelid, k, true)
             FROM generate_series(1, x.indnkeyatts) k ORDER BY k) AS columns,
       ARRAY(SELECT pg_catalog.pg_get_indexdef(x.indexrelid, k, true)
             FROM generate_series(x.indnkeyatts + 1, x.indnatts) k ORDER BY k) AS included,
       x.indkey::text AS attributes,
       ARRAY(SELECT concat_ws(' ', x.indclass[k], x.indcollation[k], x.indoption[k])
             FROM generate_series(0, x.indnkeyatts - 1) k ORDER BY k) AS classes,
       pg_catalog.pg_get_expr(x.indexprs, x.indrelid) AS expressions,
       pg_catalog.pg_get_expr(x.indpred, x.indrelid) AS predicate,
       x.indisunique AS unique, x.indisprimary AS primary, x.indisexclusion AS exclusion,
       {distinct} AS nulls_not_distinct, x.indisvalid AS valid, x.indisready AS ready, x.indimmediate AS immediate,
       x.indisreplident AS replica_identity,
       EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = c.oid) AS constraint,
       EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid) AS attached,
       c.relkind = 'I' AS partitioned,
       pg_catalog.pg_get_indexdef(x.indexrelid) AS definition, {bytes} AS bytes, c.reltuples::float8 AS entries,
       c.relpages AS pages, s.idx_scan AS scans, o.idx_blks_hit AS blocks_hit, o.idx_blks_read AS blocks_read
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
JOIN pg_catalog.pg_am a ON a.oid = c.relam
JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_stat_user_indexes s ON s.indexrelid = c.oid
LEFT JOIN pg_catalog.pg_statio_user_indexes o ON o.indexrelid = c.oid
WHERE t.relkind IN ('r', 'm', 'p') AND {user}"""


COLUMNS = """
SELECT n.nspname AS schema, c.relname AS table, a.attname AS name,
       pg_catalog.format_type(a.atttypid, NULL) AS type, a.attnotnull AS not_null, s.avg_width AS width,
       s.null_frac::float8 AS nulls
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
  AND s.inherited = (c.relkind = 'p')
WHERE c.oid = ANY(%(tables)s) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum"""

FOREIGN_KEYS = """
SELECT k.conname AS name, n.nspname AS schema, t.relname AS table, k.conrelid AS table_oid,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY p(number, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.number
             ORDER BY p.place) AS columns,
       k.confrelid AS referenced_oid, rn.nspname || '.' || r.relname AS referenced,
       k.confdeltype::text AS on_delete, k.confupdtype::text AS on_update
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
JOIN pg_catalog.pg_class r ON r.oid = k.confrelid
JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND {user}"""

SEQUENCES = """
SELECT n.nspname AS schema, c.relname AS name, u.target AS column, u.type AS column_type,
       q.data_type::text AS sequence_type, q.last_value::float8 AS last, q.min_value::float8 AS lowest,
       q.max_value::float8 AS highest, q.increment_by AS increment, q.cycle AS cycles,
       pg_catalog.has_sequence_privilege(c.oid, 'SELECT') OR pg_catalog.has_sequence_privilege(c.oid, 'USAGE')
         AS readable
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_sequences q ON q.schemaname = n.nspname AND q.sequencename = c.relname
LEFT JOIN LATERAL (
    SELECT tn.nspname || '.' || t.relname || '.' || a.attname AS target,
           pg_catalog.format_type(a.atttypid, NULL) AS type
    FROM (SELECT d.refobjid AS relation, d.refobjsubid AS number FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
            AND d.refclassid = 'pg_catalog.pg_class'::regclass
          UNION
          SELECT f.adrelid, f.adnum FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef f ON f.oid = d.objid
          WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refobjid = c.oid
            AND d.refclassid = 'pg_catalog.pg_class'::regclass) o
    JOIN pg_catalog.pg_class t ON t.oid = o.relation
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = o.relation AND a.attnum = o.number
    ORDER BY a.attlen LIMIT 1) u ON true
WHERE c.relkind = 'S' AND {user}"""
