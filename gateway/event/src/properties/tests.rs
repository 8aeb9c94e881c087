//! Properties against the reader that comes later.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

/// Our verdict must be the reader's, except where a limit is broken.
fn agree(text: &[u8]) {
    let theirs = serde_json::from_slice::<Map<String, Value>>(text);
    match scan(text) {
        Ok(_) if text.is_empty() => {}
        Ok(_) => assert!(theirs.is_ok(), "taken, but: {theirs:?}: {}", text.escape_ascii()),
        Err(Fault::Malformed(what, at)) => {
            assert!(theirs.is_err(), "{what} at {at}, but read: {}", text.escape_ascii());
        }
        Err(Fault::Limit(..)) => {}
    }
}

#[test]
fn takes_objects() {
    for text in [
        "",
        "{}",
        " \t\r\n{ } \n",
        r#"{"a":1,"a":2}"#,
        r#"{"":""}"#,
        r#"{"a":[1,-0,0.5,1e3,1E-3,-2.5e+7,true,false,null,"x",{},[]],"b":{"c":{"d":1}}}"#,
        r#"{"é":"日本語 😀","esc":"\"\\\/\b\f\n\r\t\u0000\u00e9\ud83d\ude00"}"#,
        r#"{"a":0e999999999999,"b":1.7976931348623157e308,"c":123456789012345678901234567890}"#,
    ] {
        assert_eq!(check(text.as_bytes()), Ok(None), "{text}");
        agree(text.as_bytes());
    }
}

#[test]
fn refuses_what_is_no_object() {
    for text in [
        &b" "[..],
        b"null",
        b"[]",
        b"1",
        b"\"{}\"",
        b"{",
        b"{]",
        b"{}x",
        b"{}{}",
        b"{} \0",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{,}",
        b"{a:1}",
        b"{'a':1}",
        b"{\"a\":1 \"b\":2}",
        b"{\"a\":[1,]}",
        b"{\"a\":[,]}",
        b"{\"a\":[1 2]}",
        b"{\"a\":[1}",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":-}",
        b"{\"a\":01}",
        b"{\"a\":+1}",
        b"{\"a\":.5}",
        b"{\"a\":1.}",
        b"{\"a\":1e}",
        b"{\"a\":1e+}",
        b"{\"a\":0x1}",
        b"{\"a\":1e999}",
        b"{\"a\":-1e309}",
        b"{\"a\":tru}",
        b"{\"a\":TRUE}",
        b"{\"a\":nul",
        b"{\"a\":\"",
        b"{\"a\":\"\\",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\u12\"}",
        b"{\"a\":\"\\u+123\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":\"\\ud800\\n\"}",
        b"{\"a\":\"\\ud800\\u0041\"}",
        b"{\"a\":\"\\udc00\"}",
        b"{\"a\":\"\\ud800\\ud800\"}",
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"12345678901\x1f\"}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xc3\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"\xef\xbb\xbf{}",
        b"{\x0c}",
        b"{\"a\":1/**/}",
    ] {
        let detail = check(text).expect_err(&text.escape_ascii().to_string());
        assert!(detail.starts_with("properties: is not a JSON object: "), "{detail}");
        agree(text);
    }
}

/// Strings are read eight bytes at a time: every byte, at every place of a word.
#[test]
fn every_byte_at_every_place_of_a_string() {
    for place in 0..20 {
        for byte in 0..=u8::MAX {
            let mut text = br#"{"a":"--------------------"}"#.to_vec();
            text[6 + place] = byte;
            agree(&text);
        }
    }
}

/// A number whose finiteness shows only when it is summed up.
#[test]
fn long_numbers_without_an_exponent() {
    for digits in [299, 300, 301, 308, 309, 310, 1_000] {
        agree(format!("{{\"a\":{}}}", "9".repeat(digits)).as_bytes());
        agree(format!("{{\"a\":0.{}}}", "9".repeat(digits)).as_bytes());
    }
    assert!(check(format!("{{\"a\":{}}}", "9".repeat(310)).as_bytes()).is_err());
}

#[test]
fn limits_are_exact() {
    let wide = |keys: usize| {
        let inner: Vec<_> = (0..keys - 1).map(|n| format!("\"k{n}\":1")).collect();
        format!("{{\"o\":{{{}}}}}", inner.join(","))
    };
    let key = |key: &str| format!("{{\"{key}\":1}}");
    for (text, passes) in [
        (wide(100), true),
        (wide(101), false),
        (key(&"k".repeat(128)), true),
        (key(&"k".repeat(129)), false),
        (key(&"\\u0041".repeat(128)), true),
        (key(&"\\u0041".repeat(129)), false),
        (key(&"é".repeat(64)), true),
        (key(&"é".repeat(65)), false),
        (r#"{"a":{"b":{"c":1}}}"#.to_owned(), true),
        (r#"{"a":{"b":{"c":{}}}}"#.to_owned(), false),
        (r#"{"a":[[1]]}"#.to_owned(), true),
        (r#"{"a":[[[]]]}"#.to_owned(), false),
        (format!("{{\"a\":{}1{}}}", "[".repeat(60_000), "]".repeat(60_000)), false),
    ] {
        assert_eq!(check(text.as_bytes()).is_ok(), passes, "{:.200}", text);
    }
}

#[test]
fn long_strings_are_cut_between_characters() {
    let decoded = |bytes: &[u8]| -> Map<String, Value> {
        serde_json::from_slice(bytes).expect("still an object")
    };
    for (raw, kept) in [
        ("x".repeat(8_192), None),
        ("x".repeat(8_193), Some(8_192)),
        ("x".repeat(30_000), Some(8_192)),
        (format!("x{}", "é".repeat(5_000)), Some(8_191)),
        (format!("xx{}", "日".repeat(5_000)), Some(8_192)),
        ("😀".repeat(2_048), None),
        (format!("x{}", "😀".repeat(2_048)), Some(8_189)),
        ("\\n".repeat(8_192), None),
        ("\\n".repeat(8_193), Some(8_192)),
        (format!("x{}", "\\ud83d\\ude00".repeat(2_048)), Some(8_189)),
        (format!("xx{}", "\\u65e5".repeat(2_731)), Some(8_192)),
        (format!("{}\\u0000", "\\u00e9".repeat(4_096)), Some(8_192)),
    ] {
        let text = format!("{{\"before\":[1,\"{raw}\"],\"long\":\"{raw}\",\"after\":true}}");
        let result = check(text.as_bytes()).expect("valid");
        assert_eq!(result.is_some(), kept.is_some());
        let Some(cut) = result else { continue };
        let (whole, cut) = (decoded(text.as_bytes()), decoded(&cut));
        assert_eq!(cut["after"], true);
        assert_eq!(cut["before"][1], cut["long"]);
        let (whole, cut) =
            (whole["long"].as_str().expect("text"), cut["long"].as_str().expect("text"));
        assert_eq!(Some(cut.len()), kept);
        assert!(whole.starts_with(cut));
    }
}

/// JSON within the limits, as a value.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,12}", inner), 0..5)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec((".{0,12}", value()), 0..8).prop_map(|pairs| {
        let map: Map<String, Value> = pairs.into_iter().collect();
        serde_json::to_vec(&map).expect("serialises")
    })
}

/// Bits and pieces of JSON, right and wrong.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\"a\"",
        "\"a\":",
        "\\",
        "\\u",
        "\\ud83d",
        "\\ude00",
        "\\n",
        "0",
        "1",
        "-",
        ".",
        "e",
        "E+",
        "308",
        "true",
        "null",
        "fals",
        " ",
        "\n",
        "\x01",
        "é",
        "{\"a\":1}",
    ]);
    prop::collection::vec(piece, 0..12)
        .prop_map(|pieces| format!("{{\"k\":{}}}", pieces.concat()).into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whole_objects_pass_unchanged(text in object()) {
        prop_assert_eq!(check(&text), Ok(None));
    }

    #[test]
    fn damaged_objects_are_judged_alike(
        text in object(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
    ) {
        let mut text = text;
        for (at, byte, how) in damage {
            let at = at.index(text.len().max(1));
            match how {
                0 if at < text.len() => text[at] = byte,
                1 if at < text.len() => drop(text.remove(at)),
                2 => text.truncate(at),
                _ => text.insert(at.min(text.len()), b"{}[]\",:\\u0eE-."[usize::from(byte) % 14]),
            }
        }
        agree(&text);
    }

    #[test]
    fn pieces_are_judged_alike(text in pieces()) {
        agree(&text);
    }

    #[test]
    fn any_bytes_are_judged_alike(text in prop::collection::vec(any::<u8>(), 0..64)) {
        agree(&text);
    }

    #[test]
    fn numbers_are_judged_alike(text in "-?[0-9]{1,4}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{1,4})?") {
        agree(format!("{{\"n\":{text}}}").as_bytes());
    }
}
