//! `Spec`: a sink as it was declared, in `tallyflow.toml` or by `CREATE SINK`, and the file of those that SQL declared.
use crate::Error;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A declared sink.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// What the store is: `postgres`, `redis`, `kafka`.
    pub kind: String,
    /// The views it keeps; none: all.
    pub views: Option<Vec<String>>,
    /// Everything else that was said, secrets as they were written: a value or `file:PATH` or `env:NAME`.
    pub options: BTreeMap<String, String>,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        write!(f, "sink {:?} into {} with {:?}", self.name, self.kind, self.options.keys())
    }
}

impl Spec {
    /// From a table of `tallyflow.toml`.
    pub fn from_table(table: &BTreeMap<String, toml::Value>) -> Result<Spec, Error> {
        let refused = |why: String| Error::Usage(format!("cannot use a [[sink]]: {why}"));
        let mut options = BTreeMap::new();
        let mut views = None;
        for (key, value) in table {
            match (key.as_str(), value) {
                ("views", toml::Value::String(word)) if word == "all" => {}
                ("views", toml::Value::Array(list)) => {
                    let names = list.iter().map(|name| name.as_str().map(str::to_owned));
                    let names = names.collect::<Option<Vec<_>>>();
                    views = Some(names.ok_or_else(|| refused("views holds names, or is \"all\"".into()))?);
                }
                ("views", _) => return Err(refused("views is a list of names, or \"all\"".into())),
                (_, toml::Value::String(text)) => _ = options.insert(key.clone(), text.clone()),
                (_, toml::Value::Integer(number)) => _ = options.insert(key.clone(), number.to_string()),
                (_, toml::Value::Boolean(flag)) => _ = options.insert(key.clone(), flag.to_string()),
                _ => return Err(refused(format!("{key} is a text, a whole number or a truth value"))),
            }
        }
        let mut take = |key: &str| options.remove(key).ok_or_else(|| refused(format!("it has no {key}")));
        let (name, kind) = (take("name")?, take("kind")?);
        Ok(Spec { name, kind, views, options })
    }

    /// The options with what their references stand for.
    pub fn resolved(&self) -> Result<BTreeMap<String, String>, Error> {
        let failed =
            |key: &str, why: String| Error::failed(format!("read option {key} of sink {:?}", self.name), why);
        let one = |(key, value): (&String, &String)| {
            let found = sources::secret::resolved(value).map_err(|why| failed(key, why))?;
            Ok((key.clone(), found))
        };
        self.options.iter().map(one).collect()
    }
}

/// The sinks that SQL declared in earlier lives.
pub fn read(path: &Path) -> Result<Vec<Spec>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        Err(why) => return Err(Error::failed(format!("read sinks {}", path.display()), why)),
    };
    serde_json::from_str(&text).map_err(|why| Error::failed(format!("read sinks {}", path.display()), why))
}

/// Puts a list in place of the one before: whole or not at all, also when the power fails. Others may not read it.
pub fn write(path: &Path, list: &[Spec]) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(list).expect("texts are JSON");
    let new = path.with_extension("json.new");
    let put = || {
        let options = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new);
        let mut file = options?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    put().map_err(|why: std::io::Error| Error::failed(format!("write sinks {}", path.display()), why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_the_config_is_a_sink_and_its_secrets_are_not_printed() {
        let text = "name = 'shop'\nkind = 'postgres'\nurl = 'env:NOWHERE'\nviews = ['a', 'b']\nport = 5432";
        let spec = Spec::from_table(&toml::from_str(text).unwrap()).unwrap();
        assert_eq!((spec.name.as_str(), spec.kind.as_str()), ("shop", "postgres"));
        assert_eq!(spec.views, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(spec.options["port"], "5432");
        assert!(!format!("{spec:?}").contains("5432"));
        assert!(spec.resolved().unwrap_err().to_string().contains("no text named NOWHERE"));
        for wrong in ["name = 'a'", "name = 'a'\nkind = 'b'\nviews = 3", "name = 'a'\nkind = 'b'\nx = 1.5"] {
            assert!(Spec::from_table(&toml::from_str(wrong).unwrap()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sinks.json");
        assert_eq!(read(&path).unwrap(), vec![]);
        let options = BTreeMap::from([("url".to_owned(), "file:/run/secret".to_owned())]);
        let list = vec![Spec { name: "a".into(), kind: "redis".into(), views: None, options }];
        write(&path, &list).unwrap();
        assert_eq!(read(&path).unwrap(), list);
    }
}
