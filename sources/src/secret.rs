//! Settings that may point elsewhere, so that secrets stand in no config: `env:NAME`, `file:PATH`, else the value itself.

/// The value, or what stands where it points to; a file without the ends of its last line. Errors name the variable or the file.
pub fn resolved(value: &str) -> Result<String, String> {
    if let Some(path) = value.strip_prefix("file:") {
        let text = std::fs::read_to_string(path).map_err(|why| format!("file {path}: {why}"))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    match value.strip_prefix("env:") {
        Some(name) => std::env::var(name).map_err(|_| format!("the environment has no text named {name}")),
        None => Ok(value.to_owned()),
    }
}
