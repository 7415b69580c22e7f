//! `pg_catalog`: the views, and what is there once: roles, the database, settings.
use super::relations::Relation;
use super::tables::{DATABASE_OID, Named, OWNER, OWNER_NAME, greatest, int, own, role, text};
use super::value::Value;
use super::world::{Table, World};
use crate::wire::catalog::DATABASE;
use crate::wire::settings;
use datafusion_postgres::pgwire::api::Type;

/// The views that make PostgreSQL's catalogue readable.
pub(super) fn views(world: &World) -> Vec<(String, Table)> {
    let of = |kinds: &'static [&'static str]| {
        world.relations.iter().filter(|relation| kinds.contains(&relation.kind))
    };
    let placed = |relation: &Relation, name: &'static str| {
        vec![("schemaname", text("public")), (name, text(&relation.name))]
    };
    let owned = |mut row: Named<'static>, owner: &'static str| {
        row.push((owner, text(OWNER_NAME)));
        row
    };
    let tables = of(&["r"]).map(|relation| {
        let mut row = owned(placed(relation, "tablename"), "tableowner");
        row.push(("hasindexes", Value::Bool(!relation.indexes.is_empty())));
        row
    });
    let defined = |relation: &Relation, mut row: Named<'static>| {
        row.push(("definition", Value::from(format!(" {};", relation.query.as_deref().unwrap_or_default()))));
        row.push(("ispopulated", Value::Bool(true)));
        row.push(("hasindexes", Value::Bool(!relation.indexes.is_empty())));
        row
    };
    let plain =
        of(&["v"]).map(|relation| defined(relation, owned(placed(relation, "viewname"), "viewowner")));
    let kept =
        of(&["m"]).map(|relation| defined(relation, owned(placed(relation, "matviewname"), "matviewowner")));
    let indexes = of(&["r", "m"]).flat_map(|relation| {
        relation.indexes.iter().map(|index| {
            let mut row = placed(relation, "tablename");
            row.push(("indexname", text(&index.name)));
            row.push(("indexdef", Value::from(super::calls::index_text(relation, index))));
            row
        })
    });
    let numbers = of(&["S"]).map(|relation| {
        let mut row = owned(placed(relation, "sequencename"), "sequenceowner");
        if let Some((_, _, start, kind)) = &relation.numbers {
            row.extend([
                ("start_value", int(*start)),
                ("min_value", int(1)),
                ("max_value", int(greatest(kind))),
            ]);
            row.extend([("increment_by", int(1)), ("cache_size", int(1))]);
            row.push((
                "data_type",
                Value::from(world.type_name(kind.oid().into(), None).unwrap_or_default()),
            ));
        }
        row
    });
    let statistics = of(&["r", "m"]).map(|relation| {
        let mut row = placed(relation, "relname");
        row.push(("relid", int(relation.oid)));
        row
    });
    let name = || Type::TEXT;
    let (yes, long) = (|| Type::BOOL, || Type::INT8);
    vec![
        own(
            "pg_tables",
            &[
                ("schemaname", name()),
                ("tablename", name()),
                ("tableowner", name()),
                ("tablespace", name()),
                ("hasindexes", yes()),
                ("hasrules", yes()),
                ("hastriggers", yes()),
                ("rowsecurity", yes()),
            ],
            tables.collect(),
        ),
        own(
            "pg_views",
            &[("schemaname", name()), ("viewname", name()), ("viewowner", name()), ("definition", name())],
            plain.collect(),
        ),
        own(
            "pg_matviews",
            &[
                ("schemaname", name()),
                ("matviewname", name()),
                ("matviewowner", name()),
                ("tablespace", name()),
                ("hasindexes", yes()),
                ("ispopulated", yes()),
                ("definition", name()),
            ],
            kept.collect(),
        ),
        own(
            "pg_indexes",
            &[
                ("schemaname", name()),
                ("tablename", name()),
                ("indexname", name()),
                ("tablespace", name()),
                ("indexdef", name()),
            ],
            indexes.collect(),
        ),
        own(
            "pg_sequences",
            &[
                ("schemaname", name()),
                ("sequencename", name()),
                ("sequenceowner", name()),
                ("data_type", name()),
                ("start_value", long()),
                ("min_value", long()),
                ("max_value", long()),
                ("increment_by", long()),
                ("cycle", yes()),
                ("cache_size", long()),
                ("last_value", Type::FLOAT8),
            ],
            numbers.collect(),
        ),
        own(
            "pg_stat_user_tables",
            &[
                ("relid", Type::OID),
                ("schemaname", name()),
                ("relname", name()),
                ("seq_scan", long()),
                ("seq_tup_read", long()),
                ("idx_scan", long()),
                ("n_tup_ins", long()),
                ("n_tup_upd", long()),
                ("n_tup_del", long()),
                ("n_live_tup", long()),
                ("n_dead_tup", long()),
            ],
            statistics.collect(),
        ),
    ]
}

/// Roles, databases, settings and what else is there once.
pub(super) fn cluster() -> Vec<(String, Table)> {
    let (name, yes, oid) = (|| Type::TEXT, || Type::BOOL, || Type::OID);
    let role_columns = [
        ("oid", oid()),
        ("rolname", name()),
        ("rolsuper", yes()),
        ("rolinherit", yes()),
        ("rolcreaterole", yes()),
        ("rolcreatedb", yes()),
        ("rolcanlogin", yes()),
        ("rolreplication", yes()),
        ("rolconnlimit", Type::INT4),
        ("rolpassword", name()),
        ("rolvaliduntil", Type::TEXT),
        ("rolbypassrls", yes()),
        ("rolconfig", Type::TEXT_ARRAY),
    ];
    let user = vec![
        ("usename", text(OWNER_NAME)),
        ("usesysid", int(OWNER)),
        ("usecreatedb", Value::Bool(true)),
        ("usesuper", Value::Bool(true)),
        ("usebypassrls", Value::Bool(true)),
    ];
    let database = vec![
        ("oid", int(DATABASE_OID)),
        ("datname", text(DATABASE)),
        ("datdba", int(OWNER)),
        ("encoding", int(6)),
        ("datlocprovider", text("c")),
        ("datallowconn", Value::Bool(true)),
        ("datconnlimit", int(-1)),
        ("dattablespace", int(1663)),
        ("datcollate", text("C")),
        ("datctype", text("C")),
    ];
    let settings = settings::all().map(|(setting, value)| {
        vec![
            ("name", text(setting)),
            ("setting", text(value)),
            ("category", text("Tallyflow")),
            ("context", text("user")),
            ("vartype", text("string")),
            ("source", text("default")),
            ("boot_val", text(value)),
            ("reset_val", text(value)),
        ]
    });
    let nothing = |table: &str, named: &[(&str, Type)]| own(table, named, vec![]);
    vec![
        own("pg_roles", &role_columns, vec![role()]),
        own(
            "pg_user",
            &[
                ("usename", name()),
                ("usesysid", oid()),
                ("usecreatedb", yes()),
                ("usesuper", yes()),
                ("userepl", yes()),
                ("usebypassrls", yes()),
                ("passwd", name()),
                ("valuntil", name()),
                ("useconfig", Type::TEXT_ARRAY),
            ],
            vec![user],
        ),
        own(
            "pg_database",
            &[
                ("oid", oid()),
                ("datname", name()),
                ("datdba", oid()),
                ("encoding", Type::INT4),
                ("datlocprovider", name()),
                ("datistemplate", yes()),
                ("datallowconn", yes()),
                ("datconnlimit", Type::INT4),
                ("datfrozenxid", name()),
                ("datminmxid", name()),
                ("dattablespace", oid()),
                ("datcollate", name()),
                ("datctype", name()),
                ("daticulocale", name()),
                ("datlocale", name()),
                ("daticurules", name()),
                ("datcollversion", name()),
                ("datacl", Type::TEXT_ARRAY),
            ],
            vec![database],
        ),
        own(
            "pg_settings",
            &[
                ("name", name()),
                ("setting", name()),
                ("unit", name()),
                ("category", name()),
                ("short_desc", name()),
                ("extra_desc", name()),
                ("context", name()),
                ("vartype", name()),
                ("source", name()),
                ("min_val", name()),
                ("max_val", name()),
                ("enumvals", Type::TEXT_ARRAY),
                ("boot_val", name()),
                ("reset_val", name()),
                ("sourcefile", name()),
                ("sourceline", Type::INT4),
                ("pending_restart", yes()),
            ],
            settings.collect(),
        ),
        nothing("pg_group", &[("groname", name()), ("grosysid", oid()), ("grolist", Type::OID_ARRAY)]),
        nothing(
            "pg_stat_activity",
            &[
                ("datid", oid()),
                ("datname", name()),
                ("pid", Type::INT4),
                ("usesysid", oid()),
                ("usename", name()),
                ("application_name", name()),
                ("client_addr", name()),
                ("client_port", Type::INT4),
                ("backend_start", name()),
                ("query_start", name()),
                ("state_change", name()),
                ("wait_event_type", name()),
                ("wait_event", name()),
                ("state", name()),
                ("query", name()),
                ("backend_type", name()),
            ],
        ),
        nothing(
            "pg_stat_ssl",
            &[
                ("pid", Type::INT4),
                ("ssl", yes()),
                ("version", name()),
                ("cipher", name()),
                ("bits", Type::INT4),
            ],
        ),
        nothing(
            "pg_stat_gssapi",
            &[("pid", Type::INT4), ("gss_authenticated", yes()), ("principal", name()), ("encrypted", yes())],
        ),
        nothing(
            "pg_locks",
            &[
                ("locktype", name()),
                ("database", oid()),
                ("relation", oid()),
                ("pid", Type::INT4),
                ("mode", name()),
                ("granted", yes()),
            ],
        ),
        nothing(
            "pg_replication_slots",
            &[
                ("slot_name", name()),
                ("plugin", name()),
                ("slot_type", name()),
                ("datoid", oid()),
                ("database", name()),
                ("temporary", yes()),
                ("active", yes()),
            ],
        ),
        nothing("pg_prepared_statements", &[("name", name()), ("statement", name())]),
        nothing("pg_prepared_xacts", &[("gid", name()), ("owner", name()), ("database", name())]),
        nothing("pg_cursors", &[("name", name()), ("statement", name()), ("is_holdable", yes())]),
        nothing(
            "pg_available_extensions",
            &[
                ("name", name()),
                ("default_version", name()),
                ("installed_version", name()),
                ("comment", name()),
            ],
        ),
        nothing(
            "pg_policies",
            &[
                ("schemaname", name()),
                ("tablename", name()),
                ("policyname", name()),
                ("permissive", name()),
                ("cmd", name()),
                ("qual", name()),
            ],
        ),
        nothing(
            "pg_rules",
            &[("schemaname", name()), ("tablename", name()), ("rulename", name()), ("definition", name())],
        ),
        nothing(
            "pg_stats",
            &[
                ("schemaname", name()),
                ("tablename", name()),
                ("attname", name()),
                ("null_frac", Type::FLOAT4),
                ("avg_width", Type::INT4),
                ("n_distinct", Type::FLOAT4),
            ],
        ),
        nothing(
            "pg_publication_tables",
            &[("pubname", name()), ("schemaname", name()), ("tablename", name())],
        ),
        nothing(
            "pg_seclabels",
            &[("objoid", oid()), ("classoid", oid()), ("label", name()), ("provider", name())],
        ),
    ]
}
