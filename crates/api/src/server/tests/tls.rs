//! TLS with certificates on both sides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;

use super::LIMITS;
use super::memory::Memory;
use crate::client::{ClientError, TcpServer};
use crate::config::ApiConfig;
use crate::server::Sockets;
use crate::types::{AdapterView, TextView, VfView};
use crate::{Client, tls};

/// An authority, and where its certificates are.
struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        std::fs::create_dir(folder).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// Issues a certificate, and says its fingerprint.
    fn issue(&self, name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(name, "pem"), certificate.pem()).unwrap();
        std::fs::write(self.path(name, "key"), key.serialize_pem()).unwrap();
        tls::fingerprint(certificate.der()).to_string()
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{name}.{kind}"))
    }

    /// A client with a certificate of this authority, which takes servers of `trusted` for good.
    fn client(&self, name: &str, trusted: &Self, port: u16) -> Client {
        let server = TcpServer {
            host: "localhost".to_owned(),
            port,
            ca: trusted.path("ca", "pem"),
            cert: self.path(name, "pem"),
            key: self.path(name, "key"),
        };
        Client::tcp(server).unwrap()
    }
}

#[tokio::test]
async fn certificates_decide_who_may_do_what() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(&folder.path().join("ours"));
    let theirs = Authority::new(&folder.path().join("theirs"));
    ours.issue("server");
    let (viewer, admin) = (ours.issue("viewer"), ours.issue("admin"));
    let stranger = ours.issue("stranger");
    // Listed, but not of our authority.
    let impostor = theirs.issue("impostor");
    let config = format!(
        r#"
        tcp = {{ listen = "127.0.0.1:0", cert = "{cert}", key = "{key}", client_ca = "{ca}", client = [
            {{ fingerprint = "{viewer}", role = "viewer" }},
            {{ fingerprint = "{admin}", role = "admin" }},
            {{ fingerprint = "{impostor}", role = "admin" }},
        ] }}
        "#,
        cert = ours.path("server", "pem").display(),
        key = ours.path("server", "key").display(),
        ca = ours.path("ca", "pem").display(),
    );
    let config: ApiConfig = toml::from_str(&config).unwrap();
    let sockets = Sockets::bind(&folder.path().join("control.sock"), &config).unwrap();
    let address = sockets.tcp_address().unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        sockets.serve(Arc::new(Memory::new()), LIMITS, async { drop(ended.await) }).await
    });

    // Without TLS there is no answer, only an alert of TLS.
    let mut plain = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let asked = tokio::task::spawn_blocking(move || {
        let port = address.port();
        let view = ours.client("viewer", &ours, port);
        assert_eq!(view.get::<Vec<VfView>>("/v1/vfs").unwrap().len(), 1);
        let change = serde_json::json!({"num_vfs": 3});
        let error = view.patch::<AdapterView>("/v1/adapter", &change).unwrap_err();
        assert!(matches!(&error, ClientError::Refused { status: 403, .. }), "{error:?}");
        assert!(error.to_string().contains(&viewer) && error.to_string().contains("needs the role admin"));
        let changed: AdapterView = ours.client("admin", &ours, port).patch("/v1/adapter", &change).unwrap();
        assert_eq!(changed.num_vfs, 3);
        let error = ours.client("stranger", &ours, port).get::<TextView>("/healthz").unwrap_err();
        assert!(error.to_string().contains(&stranger) && error.to_string().contains("[[api.tcp.client]]"));
        let error = theirs.client("impostor", &ours, port).get::<TextView>("/healthz").unwrap_err();
        assert!(matches!(error, ClientError::Lost(_) | ClientError::NoServer { .. }), "{error:?}");
        let error = ours.client("admin", &theirs, port).get::<TextView>("/healthz").unwrap_err();
        assert!(matches!(error, ClientError::NoServer { .. }), "{error:?}");
    });
    asked.await.unwrap();
    drop(end);
    serving.await.unwrap().unwrap();
}

#[test]
fn files_that_are_no_use_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(&folder.path().join("ours"));
    ours.issue("server");
    ours.issue("other");
    let bind = |cert: PathBuf, key: PathBuf, ca: PathBuf| {
        let show = |path: &Path| path.display().to_string();
        let config = format!(
            "tcp = {{ listen = \"127.0.0.1:0\", cert = {:?}, key = {:?}, client_ca = {:?} }}",
            show(&cert),
            show(&key),
            show(&ca)
        );
        let config: ApiConfig = toml::from_str(&config).unwrap();
        Sockets::bind(&folder.path().join("control.sock"), &config).unwrap_err().to_string()
    };
    let (cert, key) = (ours.path("server", "pem"), ours.path("server", "key"));
    let ca = ours.path("ca", "pem");
    let missing = folder.path().join("missing.pem");
    for (error, named, why) in [
        (bind(missing.clone(), key.clone(), ca.clone()), &missing, "no certificate"),
        (bind(cert.clone(), missing.clone(), ca.clone()), &missing, "no private key"),
        (bind(cert.clone(), key.clone(), missing.clone()), &missing, "no certificate"),
        (bind(key.clone(), key.clone(), ca.clone()), &key, "none in it"),
        (bind(cert.clone(), cert.clone(), ca.clone()), &cert, "no private key"),
        (bind(cert.clone(), ours.path("other", "key"), ca.clone()), &cert, "cannot be set up"),
    ] {
        assert!(error.contains(&format!("{named:?}")) && error.contains(why), "{error}");
    }
}
