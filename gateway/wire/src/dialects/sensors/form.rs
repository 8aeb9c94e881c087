//! The wrapping: form → base64 → gzip → JSON text.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sluice_event::{Reason, Refusal};

use crate::head::form_pairs;
use crate::inflate::{Encoding, Inflater};

/// Padding or none: some SDKs strip it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Takes the wrapping off; plain JSON passes as it is.
pub(super) fn unwrap<'b>(
    body: &'b [u8],
    gzip: bool,
    inflated_bytes_max: usize,
    inflater: &mut Inflater,
) -> Result<Cow<'b, [u8]>, Refusal> {
    let plain = body.trim_ascii();
    if is_json(plain) {
        return Ok(Cow::Borrowed(plain));
    }
    let (mut data, mut gzip) = (None, gzip);
    for (key, value) in form_pairs(plain) {
        match key.as_str() {
            "data_list" | "data" => data = Some(value),
            "gzip" => gzip = value == "1",
            _ => {}
        }
    }
    let Some(mut data) = data else {
        let detail = "neither data_list= nor data= in the form; expected base64 of JSON";
        return Err(Refusal::new(Reason::BodyInvalid, detail));
    };
    if is_json(data.trim_ascii().as_bytes()) {
        return Ok(Cow::Owned(data.into_bytes()));
    }
    if data.contains([' ', '-', '_']) {
        // A plus sign sent bare was read as a space; the URL alphabet is taken too.
        data = data.trim_ascii().replace([' ', '-'], "+").replace('_', "/");
    }
    let bytes = BASE64.decode(data.as_bytes()).map_err(|wrong| {
        Refusal::new(Reason::BodyInvalid, format!("data is not base64: {wrong}"))
    })?;
    if !gzip && !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Owned(bytes));
    }
    let mut inflated = Vec::new();
    inflater.inflate(Encoding::Gzip, &bytes, &mut inflated, inflated_bytes_max)?;
    Ok(Cow::Owned(inflated))
}

fn is_json(text: &[u8]) -> bool {
    matches!(text.first(), Some(b'[' | b'{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(body: &str) -> Result<String, Reason> {
        let found = unwrap(body.as_bytes(), false, 1_000, &mut Inflater::default());
        let text = found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        text.map_err(|refusal| refusal.reason)
    }

    #[test]
    fn forms() {
        for body in [
            "data_list=W3siYSI6Ij4%2BIn1d",
            "data=W3siYSI6Ij4+In1d&ext=crc%3D1",
            "gzip=0&data=W3siYSI6Ij4-In1d",
            "data=%5B%7B%22a%22%3A%22%3E%3E%22%7D%5D",
            " [{\"a\":\">>\"}] ",
        ] {
            assert_eq!(unwrapped(body).expect(body), "[{\"a\":\">>\"}]", "{body}");
        }
        assert_eq!(unwrapped("data=e30").expect("no padding"), "{}");
        assert_eq!(unwrapped("data=e30%3D").expect("padding"), "{}");
    }

    #[test]
    fn refused() {
        assert_eq!(unwrapped(""), Err(Reason::BodyInvalid));
        assert_eq!(unwrapped("x=1"), Err(Reason::BodyInvalid));
        assert_eq!(unwrapped("data=!!!"), Err(Reason::BodyInvalid));
        assert_eq!(unwrapped("data=e30&gzip=1"), Err(Reason::EncodingInvalid));
    }
}
