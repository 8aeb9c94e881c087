//! The escapes of JSON strings.

/// Resolves escapes whose form was checked. A lone surrogate becomes U+FFFD.
pub(super) fn unescape(inside: &str) -> String {
    let mut out = String::with_capacity(inside.len());
    let mut rest = inside;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let kind = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        match kind {
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'n' => out.push('\n'),
            b'r' => out.push('\r'),
            b't' => out.push('\t'),
            b'u' => {
                let (unit, after) = unit(rest);
                rest = after;
                out.push(match unit {
                    0xD800..0xDC00 => match rest.strip_prefix("\\u").map(self::unit) {
                        Some((low @ 0xDC00..0xE000, after)) => {
                            rest = after;
                            let code = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                        }
                        _ => char::REPLACEMENT_CHARACTER,
                    },
                    _ => char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER),
                });
            }
            other => out.push(char::from(other)),
        }
    }
    out.push_str(rest);
    out
}

/// Four hex digits, and what follows.
fn unit(text: &str) -> (u32, &str) {
    let (hex, rest) = text.split_at_checked(4).unwrap_or((text, ""));
    (u32::from_str_radix(hex, 16).unwrap_or(0xFFFD), rest)
}
