//! One rule of an `HTTPRoute` (Gateway API v1) between a champion and a challenger: what it does, and how it is
//! written. Pure but for [`api`].
//!
//! ```text
//!  rules: [ …, {matches, backendRefs: [champion 95, challenger 5]}, …, {matches × GET, HEAD, mirror} ]
//!                └ the league's rule: only weights move                └ appended while the challenger shadows
//! ```
//!
//! Everything else of the object stays as its owner wrote it.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

/// Most rules of a route (Gateway API v1).
const MAX_RULES: usize = 16;
/// Most matches of a rule (Gateway API v1).
const MAX_MATCHES: usize = 64;
/// Methods that change nothing (RFC 9110, 9.2.1), as far as they are mirrored.
const SAFE: [&str; 2] = ["GET", "HEAD"];

/// The `HTTPRoute`s of a namespace. Kept as plain JSON, so that fields of newer versions survive a write.
#[must_use]
pub fn api(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "HTTPRoute");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, "httproutes"))
}

/// Which rule, and which Services it chooses between.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Index of the rule.
    pub index: usize,
    /// Service of the champion.
    pub champion: &'a str,
    /// Service of the challenger.
    pub challenger: &'a str,
    /// Port of the challenger's Service.
    pub port: i32,
    /// Whether requests that may change something are mirrored too.
    pub mirror_unsafe: bool,
}

/// How requests are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Share of the champion, in percent.
    pub champion: u32,
    /// Share of the challenger, in percent.
    pub challenger: u32,
    /// Whether the challenger gets a copy of what the champion serves.
    pub mirror: bool,
}

/// How the rule divides requests now. `rules` is the route's `spec.rules`.
///
/// # Errors
/// Why the rule cannot be a league's, and what to write instead.
pub fn seen(rules: &[Value], rule: &Rule<'_>) -> Result<Split, String> {
    let own = own(rules, rule)?;
    let (champion, challenger) = (weight(own, rule.champion)?, weight(own, rule.challenger)?);
    let all = backends(own).len();
    if all != 2 {
        return Err(format!("rule {} has {all} backends; a league needs its two Services alone", rule.index));
    }
    let sum = champion + challenger;
    if sum == 0 {
        return Err(format!("the weights of rule {} sum to 0", rule.index));
    }
    // Rounded to the nearest percent; integers, so that it is the same on every machine.
    let share = (200 * challenger + sum) / (2 * sum);
    let share = u32::try_from(share).map_err(|e| e.to_string())?;
    let mirror = mirrored(rules, rule)?;
    Ok(Split { champion: 100 - share, challenger: share, mirror })
}

/// The route's rules with another split; weights sum to 100.
///
/// # Errors
/// Why it cannot be written.
pub fn divided(rules: &[Value], rule: &Rule<'_>, split: Split) -> Result<Vec<Value>, String> {
    if split.champion + split.challenger != 100 {
        return Err(format!("{} and {} do not sum to 100", split.champion, split.challenger));
    }
    let before = seen(rules, rule)?;
    let mut all: Vec<Value> = Vec::with_capacity(rules.len() + 1);
    for (at, one) in rules.iter().enumerate() {
        if at == rule.index || !mirrors(one, rule) {
            all.push(one.clone());
        }
    }
    // What stood before it has not moved: a mirror is appended, never put in front.
    let at = rules.iter().take(rule.index).filter(|one| !mirrors(one, rule)).count();
    let own = all.get_mut(at).ok_or("the rule has gone")?;
    if (before.champion, before.challenger) != (split.champion, split.challenger) {
        set_weight(own, rule.champion, split.champion)?;
        set_weight(own, rule.challenger, split.challenger)?;
    }
    if rule.mirror_unsafe {
        set_mirror(own, rule, split.mirror);
    } else if split.mirror {
        let appended = safe_mirror(own, rule)?;
        all.push(appended);
        if all.len() > MAX_RULES {
            return Err(format!("the route has {MAX_RULES} rules already; the mirror needs one more"));
        }
    }
    Ok(all)
}

fn own<'a>(rules: &'a [Value], rule: &Rule<'_>) -> Result<&'a Value, String> {
    rules.get(rule.index).ok_or_else(|| format!("the route has no rule {}", rule.index))
}

fn backends(rule: &Value) -> &[Value] {
    rule.get("backendRefs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Whether a reference is to a Service of the route's own namespace.
fn is_service(reference: &Value, name: &str) -> bool {
    let text = |key: &str| reference.get(key).and_then(Value::as_str);
    text("name") == Some(name)
        && text("group").is_none_or(str::is_empty)
        && text("kind").is_none_or(|kind| kind == "Service")
        && text("namespace").is_none()
}

fn weight(rule: &Value, service: &str) -> Result<u64, String> {
    let mut found = backends(rule).iter().filter(|reference| is_service(reference, service));
    match (found.next(), found.next()) {
        (Some(one), None) => match one.get("weight") {
            None => Ok(1),
            Some(weight) => {
                weight.as_u64().ok_or_else(|| format!("the weight of {service} is no count: {weight}"))
            }
        },
        (Some(_), Some(_)) => Err(format!("Service {service} stands twice among the backends")),
        (None, _) => Err(format!(
            "Service {service} is not among the backends of the rule: name both, the challenger with weight 0"
        )),
    }
}

fn set_weight(rule: &mut Value, service: &str, weight: u32) -> Result<(), String> {
    let all = rule.get_mut("backendRefs").and_then(Value::as_array_mut).ok_or("the rule has no backends")?;
    for reference in all.iter_mut().filter(|reference| is_service(reference, service)) {
        reference["weight"] = json!(weight);
    }
    Ok(())
}

fn mirror_filter(rule: &Rule<'_>) -> Value {
    json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": rule.challenger, "port": rule.port}}})
}

/// Whether a filter mirrors to the challenger; the API server may have added defaults to it.
fn is_mirror(filter: &Value, rule: &Rule<'_>) -> bool {
    filter.get("type").and_then(Value::as_str) == Some("RequestMirror")
        && filter.pointer("/requestMirror/backendRef").is_some_and(|to| is_service(to, rule.challenger))
}

fn mirrors(one: &Value, rule: &Rule<'_>) -> bool {
    one.get("filters").and_then(Value::as_array).is_some_and(|all| all.iter().any(|f| is_mirror(f, rule)))
}

/// Whether the challenger gets copies; a mirror that the league would not write is refused.
fn mirrored(rules: &[Value], rule: &Rule<'_>) -> Result<bool, String> {
    let own = own(rules, rule)?;
    let elsewhere: Vec<usize> =
        (0..rules.len()).filter(|at| *at != rule.index && mirrors(&rules[*at], rule)).collect();
    if rule.mirror_unsafe {
        return match elsewhere.first() {
            Some(at) => Err(format!("rule {at} mirrors to the challenger too")),
            None => Ok(mirrors(own, rule)),
        };
    }
    if mirrors(own, rule) {
        return Err(
            "its own rule mirrors to the challenger, every method: set mirrorUnsafe, or remove it".into()
        );
    }
    match elsewhere.as_slice() {
        [] => Ok(false),
        [at] if *at + 1 == rules.len() && matches_of(&rules[*at]) == safe_matches(own)? => Ok(true),
        _ => Err("a rule mirrors to the challenger that is not the league's: remove it".into()),
    }
}

fn set_mirror(own: &mut Value, rule: &Rule<'_>, mirror: bool) {
    if mirror == mirrors(own, rule) {
        return;
    }
    let mut filters = own.get("filters").and_then(Value::as_array).cloned().unwrap_or_default();
    filters.retain(|filter| !is_mirror(filter, rule));
    if mirror {
        filters.push(mirror_filter(rule));
    }
    if let Some(fields) = own.as_object_mut() {
        if filters.is_empty() {
            fields.remove("filters");
        } else {
            fields.insert("filters".into(), filters.into());
        }
    }
}

/// The rule again, for GET and HEAD alone, with a mirror: more exact than the rule itself, so it goes first.
fn safe_mirror(own: &Value, rule: &Rule<'_>) -> Result<Value, String> {
    let mut copy = own.clone();
    let matches = safe_matches(own)?;
    if matches.len() > MAX_MATCHES {
        return Err(format!(
            "the mirror would need {} matches, a rule may have {MAX_MATCHES}",
            matches.len()
        ));
    }
    copy["matches"] = matches.into();
    if let Some(fields) = copy.as_object_mut() {
        // A name must be the only one of its kind in a route.
        fields.remove("name");
    }
    set_mirror(&mut copy, rule, true);
    Ok(copy)
}

/// A rule's matches; without any it matches every path.
fn matches_of(rule: &Value) -> Vec<Value> {
    match rule.get("matches").and_then(Value::as_array) {
        Some(all) if !all.is_empty() => all.clone(),
        _ => vec![json!({"path": {"type": "PathPrefix", "value": "/"}})],
    }
}

/// The part of a rule's matches that is GET or HEAD.
fn safe_matches(rule: &Value) -> Result<Vec<Value>, String> {
    let mut all = Vec::new();
    for one in matches_of(rule) {
        match one.get("method").and_then(Value::as_str) {
            Some(method) if SAFE.contains(&method) => all.push(one),
            Some(_) => {}
            None => all.extend(SAFE.map(|method| {
                let mut copy = one.clone();
                copy["method"] = json!(method);
                copy
            })),
        }
    }
    if all.is_empty() {
        return Err("the rule has no GET or HEAD to mirror: set mirrorUnsafe, or shadowSeconds: 0".into());
    }
    Ok(all)
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
