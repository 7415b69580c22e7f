//! The house rules: who may import whom, what stands at the top, how long a file may be.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates with their levels: a crate imports only lower levels. `sources` and `sinks` share one, so neither imports the other.
const LEVELS: [(&str, u32); 6] =
    [("dataflows", 0), ("sources", 1), ("sinks", 1), ("queries", 2), ("harness", 3), ("benches", 4)];

/// What else may stand at the top level.
const TOP: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE",
    ".gitignore",
    ".ci",
    "deny.toml",
    "clippy.toml",
    "rustfmt.toml",
];

/// The longest a Rust file may be.
const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("harness stands in the workspace").to_path_buf()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn level(name: &str) -> Option<u32> {
    LEVELS.iter().find(|(of, _)| *of == name).map(|(_, level)| *level)
}

/// Tracked files, and new ones that nothing ignores.
fn files() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is there");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("paths are UTF-8");
    // A file that was just removed is still tracked.
    text.lines().filter(|path| root().join(path).exists()).map(str::to_owned).collect()
}

/// The names of all dependencies in a manifest: of every kind, for every target, in one line or with a table of their own.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']');
            inside = header.ends_with("dependencies") && !header.starts_with("workspace");
            if let Some((kind, name)) = header.rsplit_once('.')
                && kind.ends_with("dependencies")
                && !kind.starts_with("workspace")
            {
                names.insert(name.trim_matches('"').to_owned());
            }
        } else if inside && let Some((name, value)) = line.split_once('=') {
            let name = name.trim().split('.').next().expect("split gives a first part").trim_matches('"');
            names.insert(name.to_owned());
            // A renamed dependency, or a path in place of a name.
            for (of, _) in LEVELS {
                let renamed =
                    value.contains(&format!("package = \"{of}\"")) || value.contains(&format!("/{of}\""));
                if renamed {
                    names.insert(of.to_owned());
                }
            }
        }
    }
    names
}

/// Dependencies of a crate that stand on its own level or above.
fn upward(name: &str, manifest: &str) -> Vec<String> {
    let own = level(name).expect("one of LEVELS");
    dependencies(manifest).into_iter().filter(|to| level(to).is_some_and(|level| level >= own)).collect()
}

#[test]
fn a_crate_imports_only_lower_levels() {
    for (name, _) in LEVELS {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        let upward = upward(name, &manifest);
        assert!(upward.is_empty(), "{name} imports {upward:?}, which do not stand below it");
    }
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    let cases: [(&str, &str, &[&str]); 8] = [
        ("sources", "[dependencies]\ndataflows.workspace = true\narrow.workspace = true", &[]),
        ("sources", "[dependencies]\nsinks.workspace = true", &["sinks"]),
        ("sinks", "[dev-dependencies]\nsources = { path = \"../sources\" }", &["sources"]),
        ("dataflows", "[build-dependencies]\nqueries = \"1\"", &["queries"]),
        ("dataflows", "[dependencies.harness]\nworkspace = true", &["harness"]),
        ("queries", "[target.'cfg(unix)'.dependencies]\nharness.workspace = true", &["harness"]),
        (
            "queries",
            "[dependencies]\nengine = { package = \"benches\", path = \"../benches\" }",
            &["benches"],
        ),
        ("benches", "[dependencies]\nharness.workspace = true\n[features]\nsinks = []", &[]),
    ];
    for (name, manifest, expected) in cases {
        assert_eq!(upward(name, manifest), expected, "{name}: {manifest}");
    }
}

#[test]
fn the_workspace_is_the_six_crates() {
    let manifest = read(&root().join("Cargo.toml"));
    let members =
        manifest.lines().find(|line| line.starts_with("members")).expect("the members stand on one line");
    let members: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
    assert_eq!(members, LEVELS.iter().map(|(name, _)| *name).collect());
    for (name, _) in LEVELS {
        let manifest = read(&root().join(name).join("Cargo.toml"));
        assert!(manifest.contains("[lints]\nworkspace = true"), "{name} does not take the workspace's lints");
    }
}

#[test]
fn the_top_level_holds_nothing_else() {
    let entries: BTreeSet<String> = files()
        .iter()
        .map(|path| path.split('/').next().expect("split gives a first part").to_owned())
        .collect();
    let foreign: Vec<_> =
        entries.iter().filter(|entry| level(entry).is_none() && !TOP.contains(&entry.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?} have no place at the top level");
}

#[test]
fn no_rust_file_is_longer_than_the_limit() {
    let sources: Vec<String> = files().into_iter().filter(|path| path.ends_with(".rs")).collect();
    assert!(!sources.is_empty(), "no Rust file was found");
    let long: Vec<String> = sources
        .iter()
        .map(|path| (path, read(&root().join(path)).lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:#?}");
}

#[test]
fn no_file_is_a_drawer() {
    let drawers =
        ["common.rs", "utils.rs", "util.rs", "types.rs", "prelude.rs", "helpers.rs", "traits.rs", "mod.rs"];
    let found: Vec<String> = files()
        .into_iter()
        // Cargo takes tests/x.rs for a test of its own: what tests share has to be tests/x/mod.rs.
        .filter(|path| !path.contains("/tests/") || !path.ends_with("/mod.rs"))
        .filter(|path| path.rsplit('/').next().is_some_and(|name| drawers.contains(&name)))
        .collect();
    assert!(found.is_empty(), "name them by what they are: {found:?}");
}

#[test]
fn the_readme_needs_nothing_beside_the_clone() {
    let readme = read(&root().join("README.md"));
    assert!(!readme.contains("../shared"), "README.md names ../shared, which users do not have");
}
