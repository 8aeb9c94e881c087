//! TLS: both protocols by ALPN, and errors that name the file.

mod common;

use std::fs;
use std::sync::Arc;

use common::{config, start_with};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use sluice_wire::{BindError, Fallback, Listener, TlsConfig, WireConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[tokio::test]
async fn serves_over_tls_and_offers_http2() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let tls = TlsConfig {
        cert_path: folder.path().join("cert.pem"),
        key_path: folder.path().join("key.pem"),
    };
    fs::write(&tls.cert_path, made.cert.pem()).expect("written");
    fs::write(&tls.key_path, made.signing_key.serialize_pem()).expect("written");
    let server = start_with(WireConfig { tls: Some(tls), ..config() }, Fallback::not_found());

    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("valid");
    for (offered, chosen) in [("h2", "h2"), ("http/1.1", "http/1.1")] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("valid")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        client.alpn_protocols = vec![offered.into()];
        let stream = TcpStream::connect(server.addr()).await.expect("listening");
        let name = ServerName::try_from("localhost").expect("valid");
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, stream).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(chosen.as_bytes()));
        if chosen == "http/1.1" {
            let request = b"GET /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            stream.write_all(request).await.expect("taken");
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.expect("answered");
            assert_eq!(&answer, b"HTTP/1.1 404");
        }
    }
}

#[tokio::test]
async fn errors_name_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing.pem");
    let tls = TlsConfig { cert_path: missing.clone(), key_path: missing };
    let failed = Listener::bind(WireConfig { tls: Some(tls), ..config() });
    let text = failed.err().expect("no such file").to_string();
    assert!(text.starts_with("wire.tls: ") && text.contains("missing.pem"), "{text}");

    let first = Listener::bind(config()).expect("a free port");
    let taken = WireConfig { listen: first.local_addr(), ..config() };
    assert!(matches!(Listener::bind(taken), Err(BindError::Bind { .. })));
    let wrong = WireConfig { connections_max: 0, ..config() };
    assert!(matches!(Listener::bind(wrong), Err(BindError::Config(_))));
}
