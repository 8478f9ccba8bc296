//! TLS with certificates on both sides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{cipher_suite, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};
use tokio_rustls::TlsConnector;

use crate::config::{Fingerprint, TcpConfig};

/// Why a certificate or key is no use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read, or is no PEM of the kind that it should be.
    #[error("{path:?} holds no {what} in PEM: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Files that do not fit each other.
    #[error("TLS cannot be set up with {path:?}: {reason}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// The server's side.
pub(crate) fn server(config: &TcpConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let roots = Arc::new(roots(&config.client_ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| unfit(&config.client_ca, &error))?;
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(&config.cert, &error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&config.cert)?, private_key(&config.key)?)
        .map_err(|error| unfit(&config.cert, &error))?;
    Ok(Arc::new(server))
}

/// The client's side: `ca` is the authority of the server's certificate.
pub(crate) fn connector(ca: &Path, cert: &Path, key: &Path) -> Result<TlsConnector, TlsError> {
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unfit(cert, &error))?
        .with_root_certificates(roots(ca)?)
        .with_client_auth_cert(certificates(cert)?, private_key(key)?)
        .map_err(|error| unfit(cert, &error))?;
    Ok(TlsConnector::from(Arc::new(client)))
}

/// SHA-256 of a certificate, computed by what computes it for TLS.
pub(crate) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_128_GCM_SHA256 else {
        unreachable!("a suite of TLS 1.3 is one of TLS 1.3")
    };
    let hash = suite.common.hash_provider.hash(certificate);
    Fingerprint::new(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unfit(path, &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let what = "certificate";
    let file = |error: rustls::pki_types::pem::Error| TlsError::File {
        path: path.to_owned(),
        what,
        reason: error.to_string(),
    };
    let all: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)?;
    if all.is_empty() {
        return Err(TlsError::File { path: path.to_owned(), what, reason: "there is none in it".to_owned() });
    }
    Ok(all)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File {
        path: path.to_owned(),
        what: "private key",
        reason: error.to_string(),
    })
}

fn unfit(path: &Path, error: &dyn std::error::Error) -> TlsError {
    TlsError::Unfit { path: path.to_owned(), reason: error.to_string() }
}
