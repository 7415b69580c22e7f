//! `Access`: who may connect. A password is asked for as SCRAM-SHA-256 does, and never stored; TLS is spoken where a certificate is given.
use super::fault::fatal;
use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::sasl::scram::{
    SCRAM_ITERATIONS, ScramAuth, gen_salted_password, random_nonce,
};
use datafusion_postgres::pgwire::api::auth::sasl::{
    SASLState, SCRAM_SHA_256_METHOD, SCRAM_SHA_256_PLUS_METHOD,
};
use datafusion_postgres::pgwire::api::auth::{AuthSource, LoginInfo, Password};
use datafusion_postgres::pgwire::api::{ClientInfo, METADATA_USER};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::{Authentication, PasswordMessageFamily};
use datafusion_postgres::pgwire::tokio::TlsAcceptor;
use datafusion_postgres::pgwire::tokio::tokio_rustls::rustls::ServerConfig;
use datafusion_postgres::pgwire::tokio::tokio_rustls::rustls::crypto::ring;
use datafusion_postgres::pgwire::tokio::tokio_rustls::rustls::pki_types::pem::PemObject;
use datafusion_postgres::pgwire::tokio::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use tokio::sync::Mutex;

/// What a client needs to be let in: nothing, a password, an encrypted connection.
#[derive(Clone, Default)]
pub struct Access {
    users: Option<Arc<Users>>,
    tls: Option<TlsAcceptor>,
    /// PEM, for clients that bind the password to the channel.
    certificate: Option<Arc<[u8]>>,
    tls_only: bool,
}

impl Access {
    /// Asks for a password, of one user, or of any name where none is given.
    pub fn with_password(self, user: Option<String>, password: &str) -> Result<Access, String> {
        if password.is_empty() {
            return Err("the password is empty".into());
        }
        let salt = random_nonce().into_bytes();
        let salted = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
        let nobody = random_nonce().into_bytes();
        Ok(Access { users: Some(Arc::new(Users { user, salt, salted, nobody })), ..self })
    }

    /// Speaks TLS with clients that ask for it: a chain of certificates and its key, both PEM.
    pub fn with_tls(self, certificates: &[u8], key: &[u8]) -> Result<Access, String> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|why| format!("the certificate is not PEM: {why}"))?;
        if chain.is_empty() {
            return Err("there is no certificate in the file of certificates".into());
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|why| format!("the key is not PEM: {why}"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|why| why.to_string())?;
        let tls = Some(TlsAcceptor::from(Arc::new(config)));
        Ok(Access { tls, certificate: Some(certificates.into()), ..self })
    }

    /// Turns clients away that do not ask for TLS.
    pub fn tls_only(self) -> Result<Access, String> {
        match self.tls {
            Some(_) => Ok(Access { tls_only: true, ..self }),
            None => Err("TLS cannot be demanded without a certificate".into()),
        }
    }

    /// Whether a password is asked for.
    pub fn asks(&self) -> bool {
        self.users.is_some()
    }

    /// What makes a socket a secured one.
    pub(super) fn tls(&self) -> Option<&TlsAcceptor> {
        self.tls.as_ref()
    }

    /// Begins with a client; none, where it need not say a password.
    pub(super) fn login(&self, is_secure: bool) -> PgWireResult<Option<Login>> {
        if self.tls_only && !is_secure {
            return Err(fatal("28000", "connect with TLS: set sslmode=require".into()));
        }
        let Some(users) = &self.users else { return Ok(None) };
        let mut scram = ScramAuth::new(users.clone());
        if let (true, Some(certificate)) = (is_secure, &self.certificate) {
            // A certificate whose signature has no hash of its own is no reason to turn anybody away.
            _ = scram.configure_certificate(certificate);
        }
        Ok(Some(Login { scram, state: Mutex::new(SASLState::Initial) }))
    }
}

/// Who may come in, and a salted password, which gives the password away to nobody.
struct Users {
    user: Option<String>,
    salt: Vec<u8>,
    salted: Vec<u8>,
    /// Nobody's: names that are not known take as long to be refused as wrong passwords.
    nobody: Vec<u8>,
}

impl std::fmt::Debug for Users {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Users").field("user", &self.user).finish_non_exhaustive()
    }
}

#[async_trait]
impl AuthSource for Users {
    async fn get_password(&self, login: &LoginInfo) -> PgWireResult<Password> {
        let is_known = self.user.as_deref().is_none_or(|user| login.user() == Some(user));
        let password = if is_known { &self.salted } else { &self.nobody };
        Ok(Password::new(Some(self.salt.clone()), password.clone()))
    }
}

/// One client that is being asked for its password.
pub(super) struct Login {
    scram: ScramAuth,
    state: Mutex<SASLState>,
}

impl Login {
    /// The ways in which a password can be proved.
    pub(super) fn offer(&self) -> Authentication {
        let plus = self.scram.supports_channel_binding().then_some(SCRAM_SHA_256_PLUS_METHOD);
        Authentication::SASL(plus.into_iter().chain([SCRAM_SHA_256_METHOD]).map(String::from).collect())
    }

    /// Goes on with what the client said: what it is told, and whether it is in.
    pub(super) async fn hear<C: ClientInfo + Unpin + Send>(
        &self,
        client: &C,
        message: PasswordMessageFamily,
    ) -> PgWireResult<(Authentication, bool)> {
        let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
        let wrong = |why: PgWireError| match why {
            PgWireError::InvalidPassword(_) => {
                fatal("28P01", format!("password authentication failed for user {user:?}"))
            }
            PgWireError::IoError(why) => PgWireError::IoError(why),
            why => fatal("28000", format!("the password cannot be checked: {why}")),
        };
        let mut state = self.state.lock().await;
        let message = match &*state {
            SASLState::Initial => {
                let first = message.into_sasl_initial_response().map_err(wrong)?;
                let known = [SCRAM_SHA_256_METHOD, SCRAM_SHA_256_PLUS_METHOD];
                if !known.contains(&first.auth_method.as_str()) {
                    return Err(fatal(
                        "28000",
                        format!("the client chose {}, which was not offered", first.auth_method),
                    ));
                }
                *state = SASLState::ScramClientFirstReceived;
                PasswordMessageFamily::SASLInitialResponse(first)
            }
            _ => PasswordMessageFamily::SASLResponse(message.into_sasl_response().map_err(wrong)?),
        };
        let (answer, next) =
            self.scram.process_scram_message(client, message, &state).await.map_err(wrong)?;
        *state = next;
        Ok((answer, matches!(*state, SASLState::Finished)))
    }
}
