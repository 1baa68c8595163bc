use super::*;
use proptest::prelude::*;

fn rule(mirror_unsafe: bool) -> Rule<'static> {
    Rule { index: 1, champion: "shop", challenger: "shop-next", port: 80, mirror_unsafe }
}

/// A route as the API server gives it back: with defaults, and fields that no league knows.
fn rules() -> Vec<Value> {
    let service = |name: &str, weight: u32| json!({"group": "", "kind": "Service", "name": name, "port": 80, "weight": weight});
    vec![
        json!({"matches": [{"path": {"type": "PathPrefix", "value": "/admin"}}], "backendRefs": [service("admin", 1)]}),
        json!({
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "timeouts": {"request": "5s"},
            "backendRefs": [service("shop", 1), service("shop-next", 0)],
        }),
    ]
}

fn split(champion: u32, challenger: u32, mirror: bool) -> Split {
    Split { champion, challenger, mirror }
}

#[test]
fn a_shadow_appends_a_rule_for_get_and_head_and_takes_it_away_again() {
    let before = rules();
    assert_eq!(seen(&before, &rule(false)), Ok(split(100, 0, false)));
    let shadow = divided(&before, &rule(false), split(100, 0, true)).unwrap();
    assert_eq!(shadow[..2], before[..], "nothing of the owner's moves");
    let methods: Vec<&str> =
        shadow[2]["matches"].as_array().unwrap().iter().map(|m| m["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["GET", "HEAD"]);
    assert_eq!(shadow[2]["filters"][0]["requestMirror"]["backendRef"]["name"], "shop-next");
    assert_eq!(shadow[2]["timeouts"], json!({"request": "5s"}));
    assert_eq!(seen(&shadow, &rule(false)), Ok(split(100, 0, true)));
    assert_eq!(divided(&shadow, &rule(false), split(100, 0, false)).unwrap(), before);
}

#[test]
fn a_canary_moves_weights_alone_and_ends_the_shadow_in_the_same_write() {
    let shadow = divided(&rules(), &rule(false), split(100, 0, true)).unwrap();
    let canary = divided(&shadow, &rule(false), split(95, 5, false)).unwrap();
    assert_eq!(canary.len(), 2);
    assert_eq!(canary[1]["backendRefs"][0]["weight"], 95);
    assert_eq!(canary[1]["backendRefs"][1]["weight"], 5);
    assert_eq!(canary[1]["backendRefs"][1]["port"], 80);
    assert_eq!(seen(&canary, &rule(false)), Ok(split(95, 5, false)));
}

#[test]
fn all_methods_are_mirrored_by_the_rule_itself_where_that_is_asked() {
    let mut before = rules();
    before[1]["filters"] = json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {}}]);
    let shadow = divided(&before, &rule(true), split(100, 0, true)).unwrap();
    assert_eq!(shadow.len(), 2);
    assert_eq!(shadow[1]["filters"].as_array().unwrap().len(), 2);
    assert_eq!(seen(&shadow, &rule(true)), Ok(split(100, 0, true)));
    assert!(seen(&shadow, &rule(false)).unwrap_err().contains("mirrorUnsafe"));
    assert_eq!(divided(&shadow, &rule(true), split(100, 0, false)).unwrap(), before);
}

#[test]
fn what_is_not_the_leagues_is_refused_with_the_way_out() {
    let changed = |change: fn(&mut Vec<Value>)| {
        let mut all = rules();
        change(&mut all);
        seen(&all, &rule(false)).unwrap_err()
    };
    for (said, change) in [
        ("no rule 1", (|all| all.truncate(1)) as fn(&mut Vec<Value>)),
        ("name both", |all| drop(all[1]["backendRefs"].as_array_mut().unwrap().pop())),
        ("stands twice", |all| all[1]["backendRefs"][1]["name"] = json!("shop")),
        ("3 backends", |all| {
            let third = json!({"name": "third"});
            all[1]["backendRefs"].as_array_mut().unwrap().push(third);
        }),
        ("sum to 0", |all| all[1]["backendRefs"][0]["weight"] = json!(0)),
        ("no count", |all| all[1]["backendRefs"][0]["weight"] = json!(-3)),
        ("name both", |all| all[1]["backendRefs"][1]["namespace"] = json!("elsewhere")),
        ("no GET", |all| {
            all[1]["matches"][0]["method"] = json!("POST");
            let filter = mirror_filter(&rule(false));
            all.push(json!({"filters": [filter], "matches": [], "backendRefs": []}));
        }),
        ("not the league's", |all| {
            let filter = mirror_filter(&rule(false));
            all.push(json!({"filters": [filter], "matches": [{"path": {"value": "/x"}}]}));
        }),
    ] {
        let why = changed(change);
        assert!(why.contains(said), "{why}");
    }
    let mut full = rules();
    full.extend((0..14).map(|_| json!({"backendRefs": []})));
    assert!(divided(&full, &rule(false), split(100, 0, true)).unwrap_err().contains("16 rules"));
    assert!(divided(&rules(), &rule(false), split(95, 4, false)).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_what_is_seen_and_weights_sum_to_100(
        steps in proptest::collection::vec((0_u32..=20, any::<bool>()), 1..6),
        mirror_unsafe: bool,
    ) {
        let before = rules();
        let mut now = before.clone();
        for (challenger, mirror) in steps {
            let wanted = split(100 - challenger, challenger, mirror);
            now = divided(&now, &rule(mirror_unsafe), wanted).unwrap();
            prop_assert_eq!(seen(&now, &rule(mirror_unsafe)).unwrap(), wanted);
        }
        now = divided(&now, &rule(mirror_unsafe), split(100, 0, false)).unwrap();
        prop_assert_eq!(&now[0], &before[0]);
        prop_assert_eq!(now.len(), before.len());
    }
}
