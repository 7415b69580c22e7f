//! What clients ask about the system, in their own words, and PostgreSQL's answers.
/// Declarations, and then questions of psql, SQLAlchemy, pgjdbc, pgcli, asyncpg and Grafana.
pub const CLIENTS: &[(&str, &str)] = &[
    (
        "CREATE TABLE accounts (id INT PRIMARY KEY, branch TEXT NOT NULL, balance NUMERIC(14,2) DEFAULT 0, note VARCHAR(20), day DATE)",
        "#0",
    ),
    ("CREATE TABLE items (order_id BIGINT, line INT, doc JSONB, PRIMARY KEY (order_id, line))", "#0"),
    (
        "CREATE TABLE numbered (id BIGSERIAL PRIMARY KEY, code TEXT UNIQUE, n INT CHECK (n > 0), u UUID, tags TEXT[])",
        "#0",
    ),
    ("CREATE VIEW rich AS SELECT id, branch FROM accounts WHERE balance > 100", "#0"),
    (
        "CREATE MATERIALIZED VIEW branches AS SELECT branch, sum(balance) AS total FROM accounts GROUP BY branch",
        "#0",
    ),
    // psql \d
    (
        "SELECT n.nspname as \"Schema\", c.relname as \"Name\", CASE c.relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'S' THEN 'sequence' WHEN 't' THEN 'TOAST table' WHEN 'f' THEN 'foreign table' WHEN 'p' THEN 'partitioned table' WHEN 'I' THEN 'partitioned index' END as \"Type\", pg_catalog.pg_get_userbyid(c.relowner) as \"Owner\" FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam WHERE c.relkind IN ('r','p','v','m','S','f','') AND n.nspname <> 'pg_catalog' AND n.nspname !~ '^pg_toast' AND n.nspname <> 'information_schema' AND c.relname !~ '^t' AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1,2",
        "public|accounts|table|postgres/public|branches|materialized view|postgres/public|items|table|postgres/public|numbered|table|postgres/public|numbered_id_seq|sequence|postgres/public|rich|view|postgres/#6",
    ),
    // psql \d accounts
    (
        "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef), a.attnotnull, (SELECT c.collname FROM pg_catalog.pg_collation c, pg_catalog.pg_type t WHERE c.oid = a.attcollation AND t.oid = a.atttypid AND a.attcollation <> t.typcollation) AS attcollation, a.attidentity, a.attgenerated FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'accounts'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        "id|integer|NULL|t|NULL||/branch|text|NULL|t|NULL||/balance|numeric(14,2)|0|f|NULL||/note|character varying(20)|NULL|f|NULL||/day|date|NULL|f|NULL||/#5",
    ),
    (
        "SELECT c2.relname, i.indisprimary, i.indisunique, i.indisclustered, i.indisvalid, pg_catalog.pg_get_indexdef(i.indexrelid, 0, true), pg_catalog.pg_get_constraintdef(con.oid, true), contype, condeferrable, condeferred, i.indisreplident, c2.reltablespace FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i LEFT JOIN pg_catalog.pg_constraint con ON (conrelid = i.indrelid AND conindid = i.indexrelid AND contype IN ('p','u','x')) WHERE c.oid = 'numbered'::regclass AND c.oid = i.indrelid AND i.indexrelid = c2.oid ORDER BY i.indisprimary DESC, c2.relname",
        "numbered_pkey|t|t|f|t|CREATE UNIQUE INDEX numbered_pkey ON public.numbered USING btree (id)|PRIMARY KEY (id)|p|f|f|f|0/numbered_code_key|f|t|f|t|CREATE UNIQUE INDEX numbered_code_key ON public.numbered USING btree (code)|UNIQUE (code)|u|f|f|f|0/#2",
    ),
    (
        "SELECT r.conname, pg_catalog.pg_get_constraintdef(r.oid, true) FROM pg_catalog.pg_constraint r WHERE r.conrelid = 'numbered'::regclass AND r.contype = 'c' ORDER BY 1",
        "numbered_n_check|CHECK (n > 0)/#1",
    ),
    (
        "SELECT pg_catalog.pg_get_viewdef('rich'::pg_catalog.regclass, true)",
        " SELECT id, branch FROM accounts WHERE balance > 100;/#1",
    ),
    (
        "SELECT 'accounts'::regclass, c.oid::regclass::text = 'accounts' FROM pg_class c WHERE c.oid = to_regclass('public.accounts')",
        "accounts|t/#1",
    ),
    (
        "SELECT oid::regtype::text, format_type(oid, NULL) FROM pg_type WHERE oid = to_regtype('int4[]')",
        "integer[]|integer[]/#1",
    ),
    ("SELECT 'no_such'::regclass", "! 42P01"),
    ("SELECT no_such FROM pg_class", "! 42703"),
    ("SELECT 1 FROM pg_no_such", "! 42P01"),
    // More rows than there is room for end the question, not the process.
    ("SELECT count(*) FROM pg_attribute a, pg_attribute b, pg_attribute c", "! 54000"),
    (
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r, pg_attribute) SELECT count(*) FROM r",
        "! 54000",
    ),
    // SQLAlchemy get_pk_constraint
    (
        "SELECT attr.conname, array_agg(CAST(attr.attname AS TEXT) ORDER BY attr.ord) AS cols, min(attr.indnkeyatts), bool_and(attr.indnullsnotdistinct) FROM (SELECT con.conrelid AS conrelid, con.conname AS conname, con.ord AS ord, con.indnkeyatts AS indnkeyatts, con.indnullsnotdistinct AS indnullsnotdistinct, pg_catalog.pg_attribute.attname AS attname FROM pg_catalog.pg_attribute JOIN (SELECT pg_catalog.pg_constraint.conrelid AS conrelid, pg_catalog.pg_constraint.conname AS conname, unnest(pg_catalog.pg_index.indkey) AS attnum, generate_subscripts(pg_catalog.pg_index.indkey, 1) AS ord, pg_catalog.pg_index.indnkeyatts AS indnkeyatts, pg_catalog.pg_index.indnullsnotdistinct AS indnullsnotdistinct FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_index ON pg_catalog.pg_constraint.conindid = pg_catalog.pg_index.indexrelid WHERE pg_catalog.pg_constraint.contype = 'p' AND pg_catalog.pg_constraint.conrelid IN ('items'::regclass)) AS con ON pg_catalog.pg_attribute.attnum = con.attnum AND pg_catalog.pg_attribute.attrelid = con.conrelid) AS attr GROUP BY attr.conrelid, attr.conname ORDER BY attr.conrelid, attr.conname",
        "items_pkey|{order_id,line}|2|f/#1",
    ),
    // pgjdbc getPrimaryKeys, and the columns of getColumns
    (
        "SELECT result.TABLE_NAME, result.COLUMN_NAME, result.KEY_SEQ, result.PK_NAME FROM (SELECT NULL AS TABLE_CAT, n.nspname AS TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME, (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME, information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON ( a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE true AND n.nspname = 'public' AND ct.relname = 'items' AND i.indisprimary ) result where result.A_ATTNUM = (result.KEYS).x ORDER BY result.table_name, result.pk_name, result.key_seq",
        "items|order_id|1|items_pkey/items|line|2|items_pkey/#2",
    ),
    (
        "SELECT tmp.INDEX_NAME, trim(both '\"' from pg_catalog.pg_get_indexdef(tmp.CI_OID, tmp.ORDINAL_POSITION, false)) AS COLUMN_NAME, CASE tmp.AM_NAME WHEN 'btree' THEN CASE tmp.I_INDOPTION[tmp.ORDINAL_POSITION - 1] & 1::smallint WHEN 1 THEN 'D' ELSE 'A' END ELSE NULL END AS ASC_OR_DESC FROM (SELECT ci.relname AS INDEX_NAME, (information_schema._pg_expandarray(i.indkey)).n AS ORDINAL_POSITION, ci.oid AS CI_OID, i.indoption AS I_INDOPTION, am.amname AS AM_NAME FROM pg_catalog.pg_class ct JOIN pg_catalog.pg_index i ON (ct.oid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) JOIN pg_catalog.pg_am am ON (ci.relam = am.oid) WHERE ct.relname = 'items') AS tmp ORDER BY INDEX_NAME, ORDINAL_POSITION",
        "items_pkey|order_id|A/items_pkey|line|A/#2",
    ),
    (
        "SELECT attname, attnotnull, adsrc, attnum FROM (SELECT a.attname, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull) AS attnotnull, row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid) JOIN pg_catalog.pg_attribute a ON (a.attrelid=c.oid) JOIN pg_catalog.pg_type t ON (a.atttypid = t.oid) LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid=def.adrelid AND a.attnum = def.adnum) WHERE c.relkind in ('r','p','v','f','m') and a.attnum > 0 AND NOT a.attisdropped AND n.nspname LIKE 'public' AND c.relname LIKE 'numbered') c WHERE attname LIKE '%' ORDER BY attnum LIMIT 2",
        "id|t|nextval('numbered_id_seq'::regclass)|1/code|f|NULL|2/#2",
    ),
    ("SELECT * FROM unnest(current_schemas(true))", "pg_catalog/public/#2"),
    (
        "WITH RECURSIVE tree(oid, depth) AS (SELECT t.oid, 0 FROM pg_type t WHERE t.oid = any('{1007}'::oid[]) UNION ALL SELECT t.typelem, tree.depth + 1 FROM pg_type t, tree WHERE t.oid = tree.oid AND t.typelem <> 0) SELECT DISTINCT oid::regtype::text, depth FROM tree ORDER BY depth DESC",
        "integer|1/integer[]|0/#2",
    ),
    // Grafana
    ("SELECT current_setting('server_version_num')::int/100 as version", "1600/#1"),
    (
        "select quote_ident(table_name) as \"table\" from information_schema.tables where quote_ident(table_schema) not in ('information_schema', 'pg_catalog') and table_name !~ '^t' and quote_ident(table_schema) IN (SELECT CASE WHEN trim(s[i]) = '\"$user\"' THEN user ELSE trim(s[i]) END FROM generate_series(array_lower(string_to_array(current_setting('search_path'),','),1), array_upper(string_to_array(current_setting('search_path'),','),1)) as i, string_to_array(current_setting('search_path'),',') s) order by 1",
        "accounts/branches/items/numbered/rich/#5",
    ),
    (
        "select quote_ident(column_name) as \"column\", data_type as \"type\" from information_schema.columns where quote_ident(table_name) = 'numbered'",
        "id|bigint/code|text/n|integer/u|uuid/tags|ARRAY/#5",
    ),
    (
        "SELECT kcu.column_name FROM information_schema.table_constraints tc JOIN information_schema.key_column_usage kcu ON tc.constraint_name = kcu.constraint_name AND tc.table_schema = kcu.table_schema WHERE tc.constraint_type = 'PRIMARY KEY' AND tc.table_name = 'items' ORDER BY kcu.ordinal_position",
        "order_id/line/#2",
    ),
    ("SELECT (SELECT oid FROM pg_class)", "! 21000"),
];
