//! The head of a request, as dialects see it.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, REFERER};
use http::request::Parts;
use sluice_event::Presented;

/// The head of a request: everything before its body.
#[derive(Debug)]
pub struct Head {
    /// Method, URI, headers.
    pub parts: Parts,
    /// The query's pairs, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Address of the peer.
    pub peer: Option<IpAddr>,
    /// The user of `Authorization: Basic` (RFC 7617), where dialects keep a key.
    pub basic_user: Option<String>,
}

/// The user of basic credentials; `None` where there are none that can be read.
fn basic_user(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, _) = pair.split_once(':')?;
    Some(user.to_owned()).filter(|user| !user.is_empty())
}

// === impl Head ===

impl Head {
    /// Reads the query once.
    pub fn new(parts: Parts, peer: Option<IpAddr>) -> Self {
        let query = form_pairs(parts.uri.query().unwrap_or_default().as_bytes()).collect();
        let basic_user = basic_user(&parts);
        Self { parts, query, peer, basic_user }
    }

    /// A header's value where it is text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header's value by lower-case name.
    pub fn header_named(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first value of a query key.
    pub fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// The media type without its parameters, as written.
    pub fn media_type(&self) -> &str {
        let value = self.header(&CONTENT_TYPE).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }

    /// What the head presents by our own means: bearer, `X-Sluice-Key`, `?key=` (GW-KEY-1).
    pub fn presented(&self) -> Presented<'_> {
        let bearer = self.header(&AUTHORIZATION).and_then(|value| {
            let (scheme, key) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
        });
        let key =
            bearer.or_else(|| self.header_named("x-sluice-key")).or_else(|| self.query("key"));
        let signature =
            self.header_named("x-sluice-timestamp").zip(self.header_named("x-sluice-signature"));
        Presented {
            key: key.filter(|key| !key.is_empty()),
            sensors_project: None,
            datarangers_app_id: None,
            signature,
            referer: self.header(&REFERER),
            peer: self.peer,
        }
    }
}

/// The pairs of `application/x-www-form-urlencoded`, decoded. Bytes that are
/// not UTF-8 become U+FFFD; a broken escape stands for itself.
pub fn form_pairs(form: &[u8]) -> impl Iterator<Item = (String, String)> {
    form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).map(|pair| {
        let equals = memchr::memchr(b'=', pair);
        let (key, value) = match equals {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &[][..]),
        };
        (form_decode(key), form_decode(value))
    })
}

fn form_decode(text: &[u8]) -> String {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(next) = memchr::memchr2(b'%', b'+', &text[at..]) {
        out.extend_from_slice(&text[at..at + next]);
        at += next;
        let pair = text.get(at + 1).zip(text.get(at + 2));
        let pair = pair.and_then(|(high, low)| Some(digit(*high)? << 4 | digit(*low)?));
        match (text[at], pair) {
            (b'+', _) => out.push(b' '),
            (_, Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            _ => out.push(b'%'),
        }
        at += 1;
    }
    out.extend_from_slice(&text[at..]);
    match String::from_utf8(out) {
        Ok(text) => text,
        Err(wrong) => String::from_utf8_lossy(wrong.as_bytes()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Head {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Head::new(request.body(()).expect("valid").into_parts().0, None)
    }

    #[test]
    fn keys_by_header_first() {
        let all = head("/?key=c", &[("authorization", "bearer a"), ("x-sluice-key", "b")]);
        assert_eq!(all.presented().key, Some("a"));
        assert_eq!(head("/?key=c", &[("x-sluice-key", "b")]).presented().key, Some("b"));
        assert_eq!(head("/?key=c%2B", &[("authorization", "Basic a")]).presented().key, Some("c+"));
        assert_eq!(head("/?key=", &[]).presented().key, None);
    }

    #[test]
    fn the_basic_user_may_be_a_key() {
        let user = |value| head("/", &[("authorization", value)]).basic_user;
        assert_eq!(user("Basic ZGVtby13cml0ZS1rZXk6").as_deref(), Some("demo-write-key"));
        assert_eq!(user("basic YTpiOmM=").as_deref(), Some("a"));
        for wrong in ["Basic", "Basic !", "Basic Og==", "Basic YQ==", "Bearer YTpi"] {
            assert_eq!(user(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn forms_decode_and_never_panic() {
        let pairs: Vec<_> = form_pairs(b"a=1+2%3d&&b&c=%&d=%zz%4&%E4%BD%A0=%ff").collect();
        let expected = [("a", "1 2="), ("b", ""), ("c", "%"), ("d", "%zz%4"), ("你", "\u{FFFD}")];
        let expected: Vec<_> =
            expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn media_type_without_parameters() {
        let head = head("/", &[("content-type", "application/json; charset=utf-8")]);
        assert_eq!(head.media_type(), "application/json");
    }
}
