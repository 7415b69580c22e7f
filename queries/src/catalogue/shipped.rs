//! The catalogues in the binary, and those in folders: files of statements, by name.
use crate::DeclareError;
use std::path::Path;

type Files = &'static [(&'static str, &'static str)];

// `SHIPPED`: each catalogue with its files, as `build.rs` found them.
include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The names of the shipped catalogues.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// The names and texts of a catalogue's files.
pub(super) fn files(name_or_folder: &str) -> Result<Vec<(String, String)>, DeclareError> {
    if let Some((_, files)) = SHIPPED.iter().find(|(name, _)| *name == name_or_folder) {
        return Ok(files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect());
    }
    let folder = Path::new(name_or_folder);
    if !folder.is_dir() {
        let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        return Err(DeclareError::NotFound(format!(
            "cannot load catalogue {name_or_folder:?}: it is none of {}, and no folder of that name is there",
            names.join(", ")
        )));
    }
    let mut found = vec![];
    for part in ["tables", "views"] {
        read_folder(&folder.join(part), &mut found)?;
    }
    if found.is_empty() {
        return Err(DeclareError::NotFound(format!(
            "cannot load catalogue {name_or_folder:?}: there is no .sql file in its folders tables and views"
        )));
    }
    Ok(found)
}

fn read_folder(folder: &Path, found: &mut Vec<(String, String)>) -> Result<(), DeclareError> {
    let failed = |path: &Path, why: std::io::Error| {
        DeclareError::Invalid(format!("cannot read {}: {why}", path.display()))
    };
    if !folder.is_dir() {
        return Ok(());
    }
    let mut paths = vec![];
    for entry in std::fs::read_dir(folder).map_err(|why| failed(folder, why))? {
        paths.push(entry.map_err(|why| failed(folder, why))?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|why| failed(&path, why))?;
        found.push((path.display().to_string(), text));
    }
    Ok(())
}
