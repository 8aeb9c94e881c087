//! Signatures of server keys (`sdk-spec/collect.md`, §4): hex of HMAC-SHA256,
//! under the key's secret, of `TIMESTAMP.SHA256`, where SHA256 is the lower-case
//! hex digest of the body as it goes over the wire.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// The signature of a body whose parts follow one another.
pub(crate) fn sign(secret: &str, timestamp: &str, body: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    body.iter().for_each(|part| digest.update(part));
    let text = format!("{timestamp}.{}", hex(&digest.finalize()));
    // HMAC takes a secret of any length (RFC 2104).
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `printf %s "$text" | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn as_openssl_signs() {
        let whole = sign("secret", "1795190400123", &[b"{\"events\":[]}"]);
        assert_eq!(whole, sign("secret", "1795190400123", &[b"{\"events\"", b":[]}"]));
        assert_eq!(whole, "12768fbac724d027c87bc63878c2f3a911b9735d28dc7142573d2fb0eaf4a68f");
    }
}
