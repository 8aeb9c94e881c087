//! Filters: what they read as, and where a wrong one is said to be wrong.

use serde_json::{Value, json};
use sluice_seams::question::Test;
use sluice_seams::{Field, Filter, NamedField};

use super::{CONDITIONS_MAX, DEPTH_MAX, parse_list};

fn read(value: Value) -> Filter {
    let conditions = parse_list(&value, "filters").expect("valid");
    super::all_of(conditions.into_iter().map(|condition| condition.filter))
}

#[test]
fn operators_read_as_tests() {
    let platform = || Field::Named(NamedField::Platform);
    assert_eq!(read(json!([["is", "platform", "jd"]])), Filter::is(platform(), ["jd"]));
    assert_eq!(
        read(json!([["is_not", "platform", ["jd", "wx"]]])),
        Filter::Not(Box::new(Filter::is(platform(), ["jd", "wx"])))
    );
    assert_eq!(
        read(json!([["<", "properties.price", 10.5]])),
        Filter::Test(Field::Property("price".into()), Test::Less("10.5".into()))
    );
    assert_eq!(
        read(json!([["or", [["exists", "ids.openid"], ["not", ["is", "scene", "1001"]]]]])),
        Filter::Or(vec![
            Filter::Test(Field::Id("openid".into()), Test::Exists),
            Filter::Not(Box::new(Filter::is(Field::Named(NamedField::Scene), ["1001"]))),
        ])
    );
}

#[test]
fn what_is_echoed_reads_as_the_same_filter() {
    let written = json!([
        ["is", "platform", "jd"],
        ["and", [["matches", "page.path", "^a"], ["not", [">", "properties.n", 3]]]],
    ]);
    let conditions = parse_list(&written, "filters").expect("valid");
    let echoed: Vec<Value> = conditions.iter().map(|condition| condition.normal.clone()).collect();
    assert_eq!(parse_list(&Value::Array(echoed), "filters").expect("valid"), conditions);
}

#[test]
fn a_wrong_filter_is_refused_with_its_path() {
    let deep = (0..DEPTH_MAX).fold(json!(["exists", "name"]), |inner, _| json!(["not", inner]));
    let many: Vec<Value> = (0..=CONDITIONS_MAX).map(|_| json!(["exists", "name"])).collect();
    let cases = [
        (json!({}), "filters"),
        (json!(["is"]), "filters[0]"),
        (json!([[]]), "filters[0][0]"),
        (json!([["iz", "platform", "jd"]]), "filters[0][0]"),
        (json!([["is", "platfrm", "jd"]]), "filters[0][1]"),
        (json!([["is", 3, "jd"]]), "filters[0][1]"),
        (json!([["is", "platform"]]), "filters[0]"),
        (json!([["is", "platform", []]]), "filters[0][2]"),
        (json!([["is", "platform", [null]]]), "filters[0][2][0]"),
        (json!([["<", "properties.n", [1, 2]]]), "filters[0][2]"),
        (json!([["matches", "name", "("]]), "filters[0][2]"),
        (json!([["matches", "name", "(a{1000}){1000}"]]), "filters[0][2]"),
        (json!([["exists", "name"], ["and", []]]), "filters[1][1]"),
        (json!([["or", [["exists", "name"], ["is", "nope", "x"]]]]), "filters[0][1][1][1]"),
        (json!([["not", ["exists"]]]), "filters[0][1][1]"),
        (json!([["is", "name", "x".repeat(2_000)]]), "filters[0][2]"),
        (Value::Array(vec![deep]), "filters[0][1][1][1][1][1][1][1][1]"),
        (Value::Array(many), "filters[100]"),
    ];
    for (written, path) in cases {
        let problem = parse_list(&written, "filters").expect_err(path);
        assert_eq!(problem.path.as_deref(), Some(path), "{written}: {}", problem.detail);
    }
}

#[test]
fn the_nearest_word_is_suggested() {
    let problem = parse_list(&json!([["is", "platfrm", "jd"]]), "filters").expect_err("unknown");
    assert!(problem.detail.contains("did you mean `platform`?"), "{}", problem.detail);
    assert!(problem.allowed.expect("listed").contains(&"device.os".to_owned()));
}
