//! The API by TLS: for clients with a certificate, and a role for it.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::common::daemon::{Daemon, Host};

/// Makes an authority, and certificates of it for a server and a client.
fn certificates(host: &Host) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(host.path("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &issuer).unwrap();
        std::fs::write(host.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(host.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[test]
fn a_client_with_a_certificate_has_the_role_that_it_was_given() {
    let host = Host::new();
    certificates(&host);
    let file = |name: &str| host.path(name).to_str().unwrap().to_owned();
    let [ca, cert, key, server, server_key] =
        ["ca.pem", "client.pem", "client.key", "server.pem", "server.key"].map(file);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let config = |client: &str| {
        format!(
            "[api.tcp]\nlisten = \"{address}\"\ncert = {server:?}\nkey = {server_key:?}\nclient_ca = {ca:?}\n{client}"
        )
    };
    let tcp = format!("localhost:{}", address.port());
    let from = ["--tcp", &tcp, "--cert", &cert, "--key", &key, "--ca", &ca];
    let daemon = Daemon::start(host, &config(""));
    // Known to the authority is not yet allowed, and the refusal says what to write.
    let refusal = daemon.host.refusal(&[&from[..], &["vm"]].concat());
    assert!(refusal.contains("[[api.tcp.client]]"), "{refusal}");
    let fingerprint = refusal.split("fingerprint ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let viewer = format!("[[api.tcp.client]]\nfingerprint = \"{fingerprint}\"\nrole = \"viewer\"\n");
    let daemon = daemon.restart(&config(&viewer));
    assert_eq!(daemon.json(&[&from[..], &["vm"]].concat()), serde_json::json!([]));
    let refusal = daemon.host.refusal(&[&from[..], &["vm", "add", "alpha"]].concat());
    assert!(refusal.contains("viewer") && refusal.contains("admin"), "{refusal}");
    let wrong =
        daemon.host.failure(&["--tcp", "nowhere", "--cert", &cert, "--key", &key, "--ca", &ca, "vm"], 2);
    assert!(wrong.contains("HOST:PORT"), "{wrong}");
    assert!(Path::new(&ca).exists());
}
