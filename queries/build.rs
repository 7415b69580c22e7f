//! Lists the files of the catalogues in the binary: `$OUT_DIR/shipped.rs` holds each folder's files by name, with their texts;
//! `$OUT_DIR/schemas.rs` holds the schemas of the business's events.
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

const FOLDERS: [&str; 2] = ["bss", "retail"];
/// What the catalogue `core` shows of `bss`: these views, and whatever they are made of.
const CORE: [&str; 6] =
    ["customers", "orders", "payments", "payment_velocity", "revenue_daily", "top_customers"];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut text = String::from("const SHIPPED: [(&str, Files); 4] = [(\"empty\", &[]),\n");
    for folder in FOLDERS {
        let mut found = vec![];
        for part in ["tables", "views"] {
            let relative = Path::new(folder).join(part);
            println!("cargo::rerun-if-changed={}", relative.display());
            found.extend(files(&root.join(&relative)).iter().map(|file| relative.join(file)));
        }
        found.iter().for_each(|name| println!("cargo::rerun-if-changed={}", name.display()));
        shipped(&root, folder, &found, &mut text);
        if folder == "bss" {
            shipped(&root, "core", &core(&root, &found), &mut text);
        }
    }
    text.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("shipped.rs"), text).expect("the build folder takes files");
    fs::write(out.join("schemas.rs"), schemas(&root)).expect("the build folder takes files");
}

fn shipped(root: &Path, name: &str, files: &[PathBuf], text: &mut String) {
    _ = writeln!(text, "({name:?}, &[");
    for file in files {
        let (name, path) = (file.display().to_string(), root.join(file).display().to_string());
        _ = writeln!(text, "({name:?}, include_str!({path:?})),");
    }
    text.push_str("]),\n");
}

/// The files of [`CORE`], and those whose tables and views they name.
fn core(root: &Path, files: &[PathBuf]) -> Vec<PathBuf> {
    let stem = |path: &PathBuf| path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let mut wanted: Vec<String> = CORE.map(str::to_owned).to_vec();
    let mut done = 0;
    while done < wanted.len() {
        let path = files.iter().find(|path| stem(path) == wanted[done]).expect("a part of the catalogue");
        let sql = fs::read_to_string(root.join(path)).expect("the file can be read");
        let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or("")).collect();
        let code = code.join(" ");
        let words: Vec<&str> = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        for name in files.iter().map(stem).filter(|name| words.contains(&&name[..])) {
            if !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        done += 1;
    }
    files.iter().filter(|path| wanted.contains(&stem(path))).cloned().collect()
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
