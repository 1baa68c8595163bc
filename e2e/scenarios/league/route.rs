//! The route as an observer sees it: what goes where, now and at every moment between.

use serde_json::Value;

use crate::cluster::Background;

/// An `HTTPRoute` cut to what a league changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route(pub Vec<Rule>);

/// One rule of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Methods that its matches name; empty = any.
    pub methods: Vec<String>,
    /// Services with their weights.
    pub backends: Vec<(String, i64)>,
    /// The Service that gets copies.
    pub mirror: Option<String>,
}

impl Route {
    /// From the object, or from anything that has `spec.rules`.
    pub fn of(object: &Value) -> Self {
        Self::of_rules(&object["spec"]["rules"])
    }

    fn of_rules(rules: &Value) -> Self {
        Self(rules.as_array().into_iter().flatten().map(Rule::of).collect())
    }

    /// The weight of a Service in the first rule.
    pub fn weight(&self, service: &str) -> i64 {
        self.0[0].backends.iter().find(|(name, _)| name == service).unwrap().1
    }

    /// Whether any rule sends copies.
    pub fn mirrors(&self) -> bool {
        self.0.iter().any(|rule| rule.mirror.is_some())
    }

    /// Whether the weights of each rule sum to 100.
    pub fn whole(&self) -> bool {
        self.0.iter().all(|rule| rule.backends.iter().map(|(_, weight)| weight).sum::<i64>() == 100)
    }
}

impl Rule {
    fn of(rule: &Value) -> Self {
        let each = |key: &str| rule[key].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            methods: each("matches").iter().filter_map(|one| text(&one["method"])).collect(),
            backends: each("backendRefs")
                .iter()
                .map(|one| (text(&one["name"]).unwrap(), one["weight"].as_i64().unwrap_or(1)))
                .collect(),
            mirror: each("filters").iter().find_map(|one| text(&one["requestMirror"]["backendRef"]["name"])),
        }
    }
}

/// Every state of a route that the API server had, in order, from the one that stood at the start.
pub struct Watched(Background);

impl Watched {
    /// Starts to look.
    pub fn start(namespace: &str, name: &str) -> Self {
        let rules = "jsonpath={.spec.rules}{\"\\n\"}";
        let watch = ["-n", namespace, "get", "httproute", name, "--watch", "-o", rules];
        Self(Background::start("kubectl", &watch))
    }

    /// What was seen until now.
    pub fn states(&self) -> Vec<Route> {
        let text = self.0.output();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|rules| Route::of_rules(&rules)).collect()
    }
}
