//! Signatures of server keys (GW-KEY-3).
//!
//! `X-Sluice-Timestamp` is the time of signing, milliseconds since the Unix
//! epoch, in decimal. The signed text is that header's text, a full stop, and
//! the SHA-256 of the body in lowercase hex:
//!
//! ```text
//! 1795190400123.e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
//! ```
//!
//! `X-Sluice-Signature` is HMAC-SHA256 (RFC 2104) of that text under the key's
//! secret, in hex. The body is what goes over the wire: compressed, where it is.
//! The time may lie five minutes off the gateway's, either way.

use std::fmt::Write as _;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use sluice_event::reason::{Reason, Refusal};

use crate::secret::Secret;

/// How far a signature's time may lie off, milliseconds.
pub(crate) const SIGNATURE_AGE_MAX_MS: u64 = 5 * 60_000;

const HOW: &str = "sign `{timestamp_ms}.{hex(sha256(body))}` with HMAC-SHA256 under the key's \
                   secret and send X-Sluice-Timestamp and X-Sluice-Signature (hex)";

/// The text that is signed for a body sent under `timestamp`.
pub fn signed_text(timestamp: &str, body: &[u8]) -> String {
    format!("{timestamp}.{}", hex(&Sha256::digest(body)))
}

/// The signature of a body sent under `timestamp`, in lowercase hex.
pub fn sign(secret: &Secret, timestamp: &str, body: &[u8]) -> String {
    hex(&mac(secret, timestamp, body).finalize().into_bytes())
}

/// Checks a signature, in constant time with regard to the secret.
pub(crate) fn verify(
    secret: &Secret,
    signature: Option<(&str, &str)>,
    body: &[u8],
    now_ms: i64,
) -> Result<(), Refusal> {
    let invalid = |what: &str| Refusal::new(Reason::SignatureInvalid, format!("{what}: {HOW}"));
    let Some((timestamp, signature)) = signature else {
        return Err(invalid("this key demands a signature"));
    };
    // Digits only: `i64::from_str` would take a sign as well.
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|b| b.is_ascii_digit());
    let Some(signed_ms) = timestamp.parse::<i64>().ok().filter(|_| digits) else {
        return Err(invalid("X-Sluice-Timestamp is not a number of milliseconds"));
    };
    let Some(signature) = unhex(signature) else {
        return Err(invalid("X-Sluice-Signature is not 64 hex digits"));
    };
    // Before the time is judged: whoever has no secret learns nothing of our clock.
    if mac(secret, timestamp, body).verify_slice(&signature).is_err() {
        return Err(invalid("the signature does not match this body and timestamp"));
    }
    if signed_ms.abs_diff(now_ms) > SIGNATURE_AGE_MAX_MS {
        let detail = format!(
            "X-Sluice-Timestamp lies {} s off the gateway's clock: set the clock, sign again and resend",
            signed_ms.abs_diff(now_ms) / 1_000
        );
        return Err(Refusal::new(Reason::SignatureExpired, detail).limit(SIGNATURE_AGE_MAX_MS));
    }
    Ok(())
}

fn mac(secret: &Secret, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.expose().as_bytes())
        .expect("HMAC takes a secret of any length");
    mac.update(signed_text(timestamp, body).as_bytes());
    mac
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes all that is written");
    }
    text
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_190_400_000;

    fn reason(signature: Option<(&str, &str)>, body: &[u8]) -> Option<Reason> {
        let verdict = verify(&Secret::new("s3cret"), signature, body, NOW);
        let refusal = verdict.err()?;
        assert!(!refusal.detail.contains("s3cret"));
        Some(refusal.reason)
    }

    /// Made with `openssl dgst -sha256 -hmac s3cret`.
    #[test]
    fn agrees_with_openssl() {
        let text = signed_text("1795190400000", b"{}");
        let digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(text, format!("1795190400000.{digest}"));
        let signature = "f56db6908c7c51dc5ecafa30554446ef1f3a4a37a80b35fb9a0868c47d348cef";
        assert_eq!(sign(&Secret::new("s3cret"), "1795190400000", b"{}"), signature);
        assert_eq!(reason(Some(("1795190400000", signature)), b"{}"), None);
        assert_eq!(reason(Some(("1795190400000", &signature.to_uppercase())), b"{}"), None);
    }

    #[test]
    fn what_does_not_match_is_invalid() {
        let secret = Secret::new("s3cret");
        let now = NOW.to_string();
        let good = sign(&secret, &now, b"body");
        assert_eq!(reason(None, b"body"), Some(Reason::SignatureInvalid));
        assert_eq!(reason(Some((&now, &good)), b"other"), Some(Reason::SignatureInvalid));
        let later = (NOW + 1).to_string();
        assert_eq!(reason(Some((&later, &good)), b"body"), Some(Reason::SignatureInvalid));
        let other = sign(&Secret::new("other"), &now, b"body");
        assert_eq!(reason(Some((&now, &other)), b"body"), Some(Reason::SignatureInvalid));
        for bad in ["", "zz", &good[1..], &format!("{good}00"), &"é".repeat(32)] {
            assert_eq!(reason(Some((&now, bad)), b"body"), Some(Reason::SignatureInvalid), "{bad}");
        }
        for bad in ["", "now", "+1795190400000", "-1", "1.5", "99999999999999999999"] {
            let signature = sign(&secret, bad, b"body");
            let verdict = reason(Some((bad, &signature)), b"body");
            assert_eq!(verdict, Some(Reason::SignatureInvalid), "{bad}");
        }
    }

    #[test]
    fn five_minutes_off_is_the_edge() {
        let secret = Secret::new("s3cret");
        for (off_ms, expected) in [
            (300_000, None),
            (-300_000, None),
            (300_001, Some(Reason::SignatureExpired)),
            (-300_001, Some(Reason::SignatureExpired)),
        ] {
            let at = (NOW + off_ms).to_string();
            let signature = sign(&secret, &at, b"body");
            assert_eq!(reason(Some((&at, &signature)), b"body"), expected, "{off_ms}");
        }
    }
}
