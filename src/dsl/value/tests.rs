//! What copies share, and what they do not.
use proptest::prelude::*;
use serde_json::json;

use super::{List, Map, Value};

fn plain() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        (-1e9..1e9).prop_map(serde_json::Value::from),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((".{0,4}", inner), 0..6)
                .prop_map(|pairs| { serde_json::Value::Object(pairs.into_iter().collect()) }),
        ]
    })
}

proptest! {
    #[test]
    fn is_the_json_it_was_made_of(json in plain()) {
        let value = Value::from(&json);
        prop_assert_eq!(&Value::from(json.clone()), &value);
        prop_assert_eq!(&serde_json::Value::from(&value), &json);
        let text = serde_json::to_string(&json).expect("JSON is written");
        prop_assert_eq!(serde_json::to_string(&value).expect("a value is written"), text.clone());
        prop_assert_eq!(serde_json::from_str::<Value>(&text).expect("a value is read"), value);
    }
}

#[test]
fn a_changed_copy_leaves_the_others_alone() {
    let first = Value::from(json!({"a": {"b": [1, 2]}, "c": {"d": 3}}));
    let mut second = first.clone();
    let inner = second.get_mut("a").and_then(|inner| inner.get_mut("b"));
    *inner.and_then(|list| list.get_mut(0)).expect("it is there") = "x".into();
    assert_eq!(
        first,
        Value::from(json!({"a": {"b": [1, 2]}, "c": {"d": 3}}))
    );
    assert_eq!(
        second,
        Value::from(json!({"a": {"b": ["x", 2]}, "c": {"d": 3}}))
    );
    let shared = |value: &Value| value.get("c").and_then(Value::as_object).cloned();
    let (left, right) = (shared(&first), shared(&second));
    assert!(
        left.zip(right)
            .is_some_and(|(left, right)| left.is_shared_with(&right))
    );
}

#[test]
fn what_was_noted_ends_with_the_next_change() {
    let noted = std::num::NonZeroU64::MIN;
    let mut map: Map = [("a", 1)].into_iter().collect();
    map.memo().set(noted);
    let copy = map.clone();
    assert_eq!(copy.memo().get(), Some(noted));
    map.insert("b", 2.into());
    assert_eq!(map.memo().get(), None);
    assert_eq!(copy.memo().get(), Some(noted));
    let mut list: List = [1, 2].into_iter().collect();
    list.memo().set(noted);
    list.push(3.into());
    assert_eq!(list.memo().get(), None);
}

#[test]
fn maps_keep_the_order_of_the_document() {
    let mut map: Map = [("z", 1), ("a", 2), ("m", 3)].into_iter().collect();
    map.insert("z", 4.into());
    map.shift_remove("a");
    assert_eq!(Value::from(map).to_string(), r#"{"z":4,"m":3}"#);
}
