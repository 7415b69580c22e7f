//! Columns that are text inside and have types of their own in PostgreSQL: described with them, and sent as they are written in binary.
use super::Server;
use bytes::BytesMut;
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// The bytes of a value, as they travel.
#[derive(Debug, PartialEq)]
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Raw, Box<dyn Error + Sync + Send>> {
        Ok(Raw(raw.to_vec()))
    }
    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
    fn accepts(_: &Type) -> bool {
        true
    }
    to_sql_checked!();
}

#[test]
fn what_is_text_inside_has_its_own_type_on_the_wire() {
    let server = Server::start();
    server.with(async |client| {
        let made = "CREATE TABLE typed (k INT PRIMARY KEY, u UUID, j JSON, b JSONB, v VARCHAR(8), c CHAR(4), t TEXT);
             CREATE MATERIALIZED VIEW kept AS SELECT k, u, b->'a' AS a, b->>'a' AS s, c, v FROM typed";
        client.simple_query(made).await.unwrap();

        let insert = client.prepare("INSERT INTO typed VALUES ($1, $2, $3, $4, $5, $6, $7)").await.unwrap();
        let own = [Type::INT4, Type::UUID, Type::JSON, Type::JSONB, Type::VARCHAR, Type::BPCHAR, Type::TEXT];
        assert_eq!(insert.params(), own);
        let id: Vec<u8> = (0..16).collect();
        let document = [&[1], br#"{"a": 1.50}"#.as_slice()].concat();
        let values: [&(dyn ToSql + Sync); 7] =
            [&1_i32, &Raw(id.clone()), &Raw(b"[1 ]".to_vec()), &Raw(document.clone()), &"v", &"c", &"t"];
        assert_eq!(client.execute(&insert, &values).await.unwrap(), 1);

        let all = client.prepare("SELECT * FROM typed").await.unwrap();
        assert_eq!(all.columns().iter().map(|column| column.type_().clone()).collect::<Vec<_>>(), own);
        let row = client.query_one(&all, &[]).await.unwrap();
        assert_eq!(row.get::<_, Raw>(1), Raw(id.clone()));
        assert_eq!(row.get::<_, Raw>(2), Raw(b"[1 ]".to_vec()));
        assert_eq!(row.get::<_, Raw>(3), Raw(document));
        assert_eq!((row.get::<_, &str>(4), row.get::<_, &str>(5)), ("v", "c   "));

        // They keep their types through a view, a join and a cast, and a parameter beside one has its type.
        let sql = "SELECT a.u, b.a, b.s, b.c, '1'::jsonb, a.u::text, coalesce(b.v, 'x')
             FROM typed a JOIN kept b ON a.u = b.u WHERE a.u = $1";
        let joined = client.prepare(sql).await.unwrap();
        let types: Vec<Type> = joined.columns().iter().map(|column| column.type_().clone()).collect();
        let (text, id_text) = (Type::TEXT, "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(
            types,
            [Type::UUID, Type::JSONB, text.clone(), Type::BPCHAR, Type::JSONB, text, Type::VARCHAR]
        );
        assert_eq!(joined.params(), [Type::UUID]);
        let row = client.query_one(&joined, &[&Raw(id)]).await.unwrap();
        assert_eq!(row.get::<_, Raw>(1), Raw([&[1], b"1.50".as_slice()].concat()));
        assert_eq!((row.get::<_, &str>(2), row.get::<_, &str>(5)), ("1.50", id_text));
    });
    server.stop();
}
