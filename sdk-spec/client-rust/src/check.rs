//! What the contract takes (`sdk-spec/collect.md`, §1): an event is mended where
//! that loses little, else refused at once (SDK-EVENT-2).

use serde_json::{Map, Value};

use crate::error::Invalid;
use crate::event::Event;
use crate::limits::{
    DEVICE_ID_BYTES_MAX, ID_BYTES_MAX, IDS_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX,
    PROPERTIES_DEPTH_MAX, PROPERTIES_MAX, SESSION_ID_BYTES_MAX, TEXT_BYTES_MAX, USER_ID_BYTES_MAX,
};

/// Mends an event, or says what is wrong with it.
pub(crate) fn mend(event: &mut Event) -> Result<(), Invalid> {
    let refuse = |field, detail: String| Err(Invalid { field, detail });
    if event.id.len() > ID_BYTES_MAX || !event.id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refuse("id", format!("must be 1-{ID_BYTES_MAX} visible ASCII characters"));
    }
    if !is_name(&event.name) {
        let pattern = "^[$A-Za-z][A-Za-z0-9_.$-]{0,127}$";
        return refuse("name", format!("must match {pattern}"));
    }
    let bounded = [
        ("device_id", &event.device_id, DEVICE_ID_BYTES_MAX),
        ("user_id", &event.user_id, USER_ID_BYTES_MAX),
        ("session_id", &event.session_id, SESSION_ID_BYTES_MAX),
    ];
    for (field, text, bytes_max) in bounded {
        if text.len() > bytes_max {
            return refuse(field, format!("{} bytes; at most {bytes_max}", text.len()));
        }
    }
    if event.ids.len() > IDS_MAX {
        return refuse("ids", format!("{} entries; at most {IDS_MAX}", event.ids.len()));
    }
    for (key, value) in &event.ids {
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) || value.len() > USER_ID_BYTES_MAX {
            let allowed = format!("keys of 1-{KEY_BYTES_MAX} bytes, values of {USER_ID_BYTES_MAX}");
            return refuse("ids", allowed);
        }
    }
    cut(&mut event.scene, TEXT_BYTES_MAX);
    if let Some(page) = &mut event.page {
        for text in [&mut page.path, &mut page.query, &mut page.title, &mut page.referrer] {
            cut(text, TEXT_BYTES_MAX);
        }
    }
    let mut keys_left = PROPERTIES_MAX;
    mend_object(&mut event.properties, 1, &mut keys_left);
    Ok(())
}

fn is_name(name: &str) -> bool {
    let tail = |byte: u8| byte.is_ascii_alphanumeric() || b"_.$-".contains(&byte);
    let first = name.bytes().next().is_some_and(|byte| byte == b'$' || byte.is_ascii_alphabetic());
    first && name.len() <= NAME_BYTES_MAX && name.bytes().all(tail)
}

/// Leaves out keys that are too long or too many; `depth` is that of this object.
fn mend_object(object: &mut Map<String, Value>, depth: usize, keys_left: &mut usize) {
    object.retain(|key, value| {
        if key.len() > KEY_BYTES_MAX || *keys_left == 0 {
            return false;
        }
        *keys_left -= 1;
        mend_value(value, depth, keys_left);
        true
    });
}

/// `depth` is that of what holds the value.
fn mend_value(value: &mut Value, depth: usize, keys_left: &mut usize) {
    match value {
        Value::String(text) => cut(text, TEXT_BYTES_MAX),
        // What is too deep stays readable, as text.
        Value::Array(_) | Value::Object(_) if depth >= PROPERTIES_DEPTH_MAX => {
            let mut text = value.to_string();
            cut(&mut text, TEXT_BYTES_MAX);
            *value = Value::String(text);
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|item| mend_value(item, depth + 1, keys_left));
        }
        Value::Object(object) => mend_object(object, depth + 1, keys_left),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Cuts at the end of a character.
fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn properties(value: Value) -> Value {
        let Value::Object(object) = value else { panic!("an object") };
        let mut event = Event::new("a").properties(object);
        mend(&mut event).expect("mended");
        Value::Object(event.properties)
    }

    #[test]
    fn names_and_ids_are_refused_with_what_is_allowed() {
        for name in ["", "1a", "a b", "ä", &"a".repeat(129)] {
            assert_eq!(mend(&mut Event::new(name)).expect_err(name).field, "name");
        }
        for name in ["a", "$set", "A.b_c-9$", &"a".repeat(128)] {
            mend(&mut Event::new(name)).expect(name);
        }
        for id in ["a b", "ä", "\n", &"i".repeat(65)] {
            assert_eq!(mend(&mut Event::new("a").id(id)).expect_err(id).field, "id");
        }
        let long = "x".repeat(256);
        assert_eq!(mend(&mut Event::new("a").user_id(&long)).expect_err("long").field, "user_id");
        let many = (0..17).fold(Event::new("a"), |event, n| event.identity(n.to_string(), "v"));
        assert_eq!(mend(&mut { many }).expect_err("many").field, "ids");
    }

    #[test]
    fn properties_are_mended_to_what_the_contract_takes() {
        let deep = properties(json!({"a": {"b": {"c": {"d": 1}}}, "list": [[[[1]]]]}));
        assert_eq!(deep, json!({"a": {"b": {"c": "{\"d\":1}"}}, "list": [["[[1]]"]]}));
        let long = properties(json!({"t": "页".repeat(5_000)}));
        assert_eq!(long["t"].as_str().expect("text").len(), 8_190);
        let wide: Map<_, _> = (0..300).map(|n| (format!("k{n}"), json!({ "x": n }))).collect();
        let wide = properties(Value::Object(wide));
        let keys = wide.as_object().expect("object");
        let inner: usize = keys.values().map(|one| one.as_object().map_or(0, Map::len)).sum();
        assert_eq!(keys.len() + inner, PROPERTIES_MAX);
        assert_eq!(properties(json!({ "k".repeat(129): 1, "n": null })), json!({"n": null}));
    }
}
