-- The role that hasivu-perf connects as: it reads, and cannot write. Run as the owner of the database or a superuser,
-- in the database that is to be measured. Give it a password of its own, e.g. with \password hasivu_perf in psql.

CREATE ROLE hasivu_perf LOGIN CONNECTION LIMIT 8;

-- Every session of it is read-only, and none holds a lock or the server for long, whatever a client asks for.
ALTER ROLE hasivu_perf SET default_transaction_read_only = on;
ALTER ROLE hasivu_perf SET statement_timeout = '30s';
ALTER ROLE hasivu_perf SET lock_timeout = '500ms';
ALTER ROLE hasivu_perf SET idle_in_transaction_session_timeout = '10s';

-- Activity, statistics and settings of all sessions.
GRANT pg_monitor TO hasivu_perf;

-- Rows, for the timed reads, plans, column statistics and index advice (PostgreSQL 14 and newer).
GRANT pg_read_all_data TO hasivu_perf;

-- Times by statement: needs pg_stat_statements in shared_preload_libraries, which takes a restart.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
