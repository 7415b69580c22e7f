//! Lists the files of the catalogues in the binary: `$OUT_DIR/shipped.rs` holds each folder's files by name, with their texts;
//! `$OUT_DIR/schemas.rs` holds the schemas of the business's events.
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

const FOLDERS: [&str; 2] = ["bss", "retail"];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut text = String::from("const SHIPPED: [(&str, Files); 3] = [(\"empty\", &[]),\n");
    for folder in FOLDERS {
        _ = writeln!(text, "({folder:?}, &[");
        for part in ["tables", "views"] {
            let relative = Path::new(folder).join(part);
            println!("cargo::rerun-if-changed={}", relative.display());
            for file in files(&root.join(&relative)) {
                let name = relative.join(&file);
                let path = root.join(&name);
                println!("cargo::rerun-if-changed={}", name.display());
                _ = writeln!(
                    text,
                    "({:?}, include_str!({:?})),",
                    name.display().to_string(),
                    path.display().to_string()
                );
            }
        }
        text.push_str("]),\n");
    }
    text.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("shipped.rs"), text).expect("the build folder takes files");
    fs::write(out.join("schemas.rs"), schemas(&root)).expect("the build folder takes files");
}

/// The schemas of the business's events, by the file's name without its end.
fn schemas(root: &Path) -> String {
    let relative = Path::new("bss").join("schemas");
    println!("cargo::rerun-if-changed={}", relative.display());
    let mut text = String::from("const SHIPPED: &[(&str, &str)] = &[\n");
    for file in named(&root.join(&relative), ".v1.json") {
        let path = root.join(&relative).join(&file);
        println!("cargo::rerun-if-changed={}", path.display());
        let name = file.trim_end_matches(".v1.json");
        _ = writeln!(text, "({name:?}, include_str!({:?})),", path.display().to_string());
    }
    text.push_str("];\n");
    text
}

/// The `.sql` files of a folder, in the order of their names.
fn files(folder: &Path) -> Vec<String> {
    named(folder, ".sql")
}

/// The files of a folder with an end, in the order of their names.
fn named(folder: &Path, end: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a catalogue has its folders");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("the folder can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(end))
        .collect();
    names.sort();
    names
}
