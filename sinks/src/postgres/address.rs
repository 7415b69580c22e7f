//! `Address`: where the server is, who we are to it, and how it is trusted.
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use xxhash_rust::xxh3::xxh3_64;

/// PostgreSQL cuts what is longer.
const NAME_BYTES_MAX: usize = 63;

/// Where the server is.
pub(crate) struct Address {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// What our sessions are called at the server.
    pub(super) application: String,
}

impl Address {
    /// Takes the options that it knows.
    pub(crate) fn new(options: &mut BTreeMap<String, String>, sink: &str) -> Result<Address, String> {
        let url =
            options.remove("url").ok_or("it has no url: write url = 'postgres://user@host/database'")?;
        let (url, mut said) = without_tls(&url);
        for key in ["sslmode", "sslrootcert"] {
            said.extend(options.remove(key).map(|value| (key, value)));
        }
        // The parser's own words may hold the password.
        let mut config: Config =
            url.parse().map_err(|_| "its url is not read: write postgres://user@host/database")?;
        options.remove("user").map(|user| config.user(user));
        options.remove("password").map(|password| config.password(password));
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("its url names no host: write postgres://user@host/database".into());
        }
        let mut application = format!("tallyflow:{sink}");
        if application.len() > NAME_BYTES_MAX {
            application = format!("tallyflow:{:016x}", xxh3_64(sink.as_bytes()));
        }
        config.application_name(&application).connect_timeout(Duration::from_secs(10));
        config.keepalives(true).keepalives_idle(Duration::from_secs(5));
        config.keepalives_interval(Duration::from_secs(2)).keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(10));
        let root = said.get("sslrootcert").map(String::as_str);
        let sockets = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let mode = said.get("sslmode").map_or("prefer", String::as_str);
        let (mode, trust) = match (mode, root) {
            ("disable", _) => (SslMode::Disable, None),
            ("prefer", None) => (SslMode::Prefer, Some(unverified()?)),
            ("require", None) => (SslMode::Require, Some(unverified()?)),
            ("prefer" | "require" | "verify-full", Some(root)) => (SslMode::Require, Some(verified(root)?)),
            ("verify-full", None) => {
                return Err(
                    "sslmode = 'verify-full' needs sslrootcert = 'FILE', the certificates trusted".into()
                );
            }
            (other, _) => {
                return Err(format!(
                    "sslmode = '{other}' is not known: write disable, prefer, require or verify-full"
                ));
            }
        };
        config.ssl_mode(mode);
        // A socket of this machine has no name that a certificate could be for.
        let tls = trust.filter(|_| !sockets).map(MakeRustlsConnect::new);
        Ok(Address { config, tls, application })
    }

    /// A connection; the task that drives it ends with it.
    pub(crate) async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }
}

/// A URL or a list of `key=value` without what it says of TLS, and that.
fn without_tls(url: &str) -> (String, BTreeMap<&'static str, String>) {
    let mut said = BTreeMap::new();
    let mut is_other = |part: &&str| {
        for key in ["sslmode", "sslrootcert"] {
            if let Some(value) = part.strip_prefix(key).and_then(|rest| rest.strip_prefix('=')) {
                said.insert(key, value.trim_matches('\'').to_owned());
                return false;
            }
        }
        true
    };
    let rest = match (url.starts_with("postgres://") || url.starts_with("postgresql://"), url.split_once('?'))
    {
        (true, Some((head, query))) => {
            let rest: Vec<&str> = query.split('&').filter(|part| is_other(part)).collect();
            if rest.is_empty() { head.to_owned() } else { format!("{head}?{}", rest.join("&")) }
        }
        (true, None) => url.to_owned(),
        (false, _) => url.split_whitespace().filter(|part| is_other(part)).collect::<Vec<_>>().join(" "),
    };
    (rest, said)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The server's certificate must be for its name and signed by one of those in a file.
fn verified(file: &str) -> Result<ClientConfig, String> {
    let failed = |why: String| format!("cannot read the certificates in {file}: {why}");
    let mut roots = RootCertStore::empty();
    let list = CertificateDer::pem_file_iter(file).map_err(|why| failed(why.to_string()))?;
    for certificate in list {
        let certificate = certificate.map_err(|why| failed(why.to_string()))?;
        roots.add(certificate).map_err(|why| failed(why.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("there is none".into()));
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|why| why.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Encrypted, whoever the server is: what `sslmode=require` means to PostgreSQL.
fn unverified() -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|why| why.to_string())?.dangerous();
    Ok(builder.with_custom_certificate_verifier(Arc::new(Anyone(provider()))).with_no_client_auth())
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says_of_tls_is_taken_out_of_it() {
        let cases = [
            (
                "postgres://a@b/c?sslmode=require&application_name=x",
                "postgres://a@b/c?application_name=x",
                "require",
            ),
            ("postgres://a@b/c?sslmode=verify-full", "postgres://a@b/c", "verify-full"),
            ("host=b sslmode=disable user=a", "host=b user=a", "disable"),
        ];
        for (url, rest, mode) in cases {
            let (found, said) = without_tls(url);
            assert_eq!((found.as_str(), said["sslmode"].as_str()), (rest, mode));
        }
    }

    #[test]
    fn an_address_that_cannot_be_meant_is_refused_without_its_password() {
        let address = |url: &str| {
            let mut options = BTreeMap::from([("url".to_owned(), url.to_owned())]);
            Address::new(&mut options, "s").map(|_| ()).unwrap_err()
        };
        assert!(address("postgres://a@b/c?sslmode=verify-full").contains("needs sslrootcert"));
        assert!(address("postgres://a@b/c?sslmode=allow").contains("is not known"));
        assert!(address("user=a").contains("names no host"));
        let why = address("postgres://a:secret@b:port/c");
        assert!(why.contains("is not read") && !why.contains("secret"), "{why}");
    }
}
