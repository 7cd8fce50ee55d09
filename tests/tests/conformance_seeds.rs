//! The seeds of `seeds.json`, every count listed there.

use serde_json::Value;

#[test]
fn every_list_of_seeds_is_reproduced() {
    let text = std::fs::read_to_string(engine_tests::fixture("seeds.json")).unwrap();
    let lists: Value = serde_json::from_str(&text).unwrap();
    let lists = lists.as_object().unwrap();
    assert!(!lists.is_empty());
    for (n, expected) in lists {
        let expected: Vec<u64> =
            expected.as_array().unwrap().iter().map(|seed| seed.as_u64().unwrap()).collect();
        assert_eq!(engine::seeds::seeds(n.parse().unwrap()), expected, "{n} seeds");
    }
}
