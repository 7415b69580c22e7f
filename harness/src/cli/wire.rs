//! What clients of the PostgreSQL protocol need: a password, a certificate.
use crate::Error;
use clap::Args;
use queries::wire::access::Access;
use std::net::TcpListener;
use std::path::PathBuf;

/// The section `[postgres_wire]` and its flags.
#[derive(Args, Debug, Default, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Wire {
    /// The only name that clients of --pg may have [default: any].
    #[arg(long = "pg-user", value_name = "NAME")]
    user: Option<String>,
    /// The password that clients of --pg are asked for (SCRAM-SHA-256), as env:NAME or file:PATH [default: none is asked for].
    #[arg(long = "pg-password", value_name = "env:NAME|file:PATH")]
    password: Option<String>,
    /// The certificate for clients of --pg that ask for TLS, with those above it: PEM.
    #[arg(long = "pg-certificate", value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// The certificate's key: PEM.
    #[arg(long = "pg-key", value_name = "FILE")]
    key: Option<PathBuf>,
    /// Turns clients of --pg away that do not ask for TLS.
    #[arg(long = "pg-tls-only")]
    tls_only: bool,
}

impl Wire {
    /// What the flags say, and where they say nothing, the file.
    pub(super) fn over(self, file: Wire) -> Wire {
        Wire {
            user: self.user.or(file.user),
            password: self.password.or(file.password),
            certificate: self.certificate.or(file.certificate),
            key: self.key.or(file.key),
            tls_only: self.tls_only || file.tls_only,
        }
    }

    /// The same, with its files read.
    pub(super) fn access(&self) -> Result<Access, Error> {
        let refused = |why: String| Error::Usage(format!("cannot use postgres_wire: {why}"));
        let mut access = Access::default();
        match (&self.password, &self.user) {
            (Some(text), user) => {
                access = access.with_password(user.clone(), &secret(text)?).map_err(refused)?;
            }
            (None, Some(_)) => return Err(refused("a user without a password keeps nobody out".into())),
            (None, None) => {}
        }
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let read = |path: &PathBuf| {
                    std::fs::read(path).map_err(|why| Error::failed(format!("read {}", path.display()), why))
                };
                access = access.with_tls(&read(certificate)?, &read(key)?).map_err(refused)?;
            }
            (None, None) => {}
            _ => return Err(refused("a certificate and its key go together".into())),
        }
        match self.tls_only {
            true => access.tls_only().map_err(refused),
            false => Ok(access),
        }
    }
}

/// What is to be said where anybody on the network may connect.
pub(super) fn warning(listener: &TcpListener, access: &Access) -> Option<String> {
    let address = listener.local_addr().ok()?;
    let open = !address.ip().is_loopback() && !access.asks();
    open.then(|| {
        format!("whoever reaches {address} may read and change everything: give --pg-password, or listen on 127.0.0.1")
    })
}

/// A password, or where it is found.
fn secret(text: &str) -> Result<String, Error> {
    sources::secret::resolved(text).map_err(|why| Error::failed("find the password of postgres_wire", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_a_setting_is_refused() {
        let set = |text: &str| toml::from_str::<Wire>(text).unwrap().access().map(|access| access.asks());
        assert!(!set("").unwrap());
        assert!(set("password = 'x'\nuser = 'me'").unwrap());
        for text in ["user = 'me'", "password = ''", "certificate = 'a'", "key = 'a'", "tls_only = true"] {
            assert!(set(text).is_err(), "{text}");
        }
        assert!(set("password = 'env:TALLYFLOW_NO_SUCH_NAME'").unwrap_err().to_string().contains("NO_SUCH"));
    }
}
