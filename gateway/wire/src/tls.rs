//! TLS by rustls, with HTTP/2 and HTTP/1.1 offered by ALPN.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio_rustls::TlsAcceptor;

use crate::config::TlsConfig;

/// Reads the certificate and key; the error says which file and why.
pub(crate) fn acceptor(config: &TlsConfig) -> Result<TlsAcceptor, String> {
    let TlsConfig { cert_path, key_path } = config;
    let pem = read(cert_path)?;
    let chain: Result<Vec<_>, _> = rustls_pemfile::certs(&mut pem.as_slice()).collect();
    let chain = chain.map_err(|wrong| format!("{}: {wrong}", cert_path.display()))?;
    if chain.is_empty() {
        return Err(format!("{}: no certificate in it", cert_path.display()));
    }
    let pem = read(key_path)?;
    let key = rustls_pemfile::private_key(&mut pem.as_slice())
        .map_err(|wrong| format!("{}: {wrong}", key_path.display()))?
        .ok_or_else(|| format!("{}: no private key in it", key_path.display()))?;
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|wrong| wrong.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|wrong| format!("{} and {}: {wrong}", cert_path.display(), key_path.display()))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|wrong| format!("{}: {wrong}", path.display()))
}
