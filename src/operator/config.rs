//! The operator's configuration: one YAML file, checked whole, every mistake reported with its path.
//!
//! The file is read as plain values first and walked, so that one mistake does not hide the next.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::decide::pool::Budget;
use crate::observe::profiles::{Profile, SignalDefinition};
use crate::observe::source::SourceConfig;

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The only place where URLs live.
    pub sources: BTreeMap<String, SourceConfig>,
    /// Profiles beside the shipped ones; one of the same name replaces it.
    pub profiles: BTreeMap<String, Profile>,
    /// Budgets of replicas by name.
    pub pools: BTreeMap<String, Budget>,
    /// Namespaces in which a resource may act; `*` = all, none = nowhere.
    pub act_namespaces: Vec<String>,
    /// What it means that the admission policies do not stand.
    pub policies: Policies,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// Where `/metrics` listens.
    pub metrics: SocketAddr,
    /// Where `/healthz` and `/readyz` listen.
    pub health: SocketAddr,
    /// Namespaces to watch; none = all.
    pub watch_namespaces: Vec<String>,
    /// Turns under way at once.
    pub concurrency: usize,
}

/// What it means that the admission policies do not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policies {
    /// No acts.
    Enforce,
    /// A warning.
    Warn,
}

/// What of the configuration means something without a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Offline {
    /// As in [`Config`].
    pub profiles: BTreeMap<String, Profile>,
    /// As in [`Config`].
    pub pools: BTreeMap<String, Budget>,
}

/// Sources and profiles: what evidence is read from.
pub type Reading = (BTreeMap<String, SourceConfig>, BTreeMap<String, Profile>);

/// Where the ledger lies and who signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Namespace of its ConfigMaps.
    pub namespace: String,
    /// `<cluster>/<ledger>`: origin of the checkpoints and name of the key.
    pub origin: String,
    /// PKCS#8 PEM file of the Ed25519 key.
    pub key_file: PathBuf,
    /// Bytes of entries in the tail before they are sealed.
    pub tail_bytes: u64,
    /// Bytes that all segments may fill.
    pub budget_bytes: u64,
    /// Last good checkpoint of the ledger that a new one takes over from.
    pub succeeds: Option<String>,
    /// The same of the key that it takes over from, while it does.
    pub retiring_key_file: Option<PathBuf>,
}

/// Every mistake of a file, each with its path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.0 {
            writeln!(f, "  {error}")?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Every mistake that is in it.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigErrors(vec![e.to_string()]))?;
        Self::parse(&text)
    }

    /// Checks a file's text.
    ///
    /// # Errors
    /// Every mistake that is in it.
    pub fn parse(text: &str) -> Result<Self, ConfigErrors> {
        let root: Value =
            serde_saphyr::from_str(text).map_err(|e| ConfigErrors(vec![format!("no YAML: {e}")]))?;
        let mut walk = Walk::default();
        let config = walk.config(&root);
        if walk.errors.is_empty() { Ok(config) } else { Err(ConfigErrors(walk.errors)) }
    }

    /// Profiles and pools alone, for what runs without a cluster: sources, ledger and the rest may be left out.
    ///
    /// # Errors
    /// Every mistake that is in them.
    pub fn offline(text: &str) -> Result<Offline, ConfigErrors> {
        let mut root: Value =
            serde_saphyr::from_str(text).map_err(|e| ConfigErrors(vec![format!("no YAML: {e}")]))?;
        let mut walk = Walk::default();
        walk.known("", &root, &KEYS);
        if root.is_object() && root["sources"].is_null() {
            root["sources"] = serde_json::json!({"default": {}});
        }
        let parts = Offline { profiles: walk.profiles(&root), pools: walk.pools(&root["pools"]) };
        if walk.errors.is_empty() { Ok(parts) } else { Err(ConfigErrors(walk.errors)) }
    }

    /// Sources and profiles alone, for what reads evidence and records nothing; the rest may be left out.
    ///
    /// # Errors
    /// Every mistake that is in them.
    pub fn reading(text: &str) -> Result<Reading, ConfigErrors> {
        let root: Value =
            serde_saphyr::from_str(text).map_err(|e| ConfigErrors(vec![format!("no YAML: {e}")]))?;
        let mut walk = Walk::default();
        walk.known("", &root, &KEYS);
        let reading = (walk.sources(&root), walk.profiles(&root));
        if walk.errors.is_empty() { Ok(reading) } else { Err(ConfigErrors(walk.errors)) }
    }

    /// Whether a resource of a namespace may act.
    #[must_use]
    pub fn may_act(&self, namespace: &str) -> bool {
        self.act_namespaces.iter().any(|n| n == "*" || n == namespace)
    }
}

/// Keys of the file.
const KEYS: [&str; 11] = [
    "sources",
    "profiles",
    "pools",
    "hpa",
    "actNamespaces",
    "policies",
    "ledger",
    "metrics",
    "health",
    "watchNamespaces",
    "concurrency",
];

#[derive(Default)]
struct Walk {
    errors: Vec<String>,
}

impl Walk {
    fn wrong(&mut self, path: &str, what: impl fmt::Display) {
        self.errors.push(format!("{path}: {what}"));
    }

    /// The entries of a map; a missing one has none.
    fn map<'a>(&mut self, path: &str, value: &'a Value) -> Vec<(&'a String, &'a Value)> {
        match value {
            Value::Null => Vec::new(),
            Value::Object(map) => map.iter().collect(),
            _ => {
                self.wrong(path, "a map is needed here");
                Vec::new()
            }
        }
    }

    fn known(&mut self, path: &str, value: &Value, keys: &[&str]) {
        for (key, _) in self.map(path, value) {
            if !keys.contains(&key.as_str()) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                self.wrong(&path, format_args!("unknown key; known here: {}", keys.join(", ")));
            }
        }
    }

    fn text(&mut self, path: &str, value: &Value, default: &str) -> String {
        match value {
            Value::Null => default.to_owned(),
            Value::String(text) => text.clone(),
            _ => {
                self.wrong(path, "text is needed here");
                default.to_owned()
            }
        }
    }

    fn number(
        &mut self,
        path: &str,
        value: &Value,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        match value.as_u64() {
            _ if value.is_null() => default,
            Some(n) if range.contains(&n) => n,
            _ => {
                self.wrong(
                    path,
                    format_args!("a whole number from {} to {} is needed here", range.start(), range.end()),
                );
                default
            }
        }
    }

    fn names(&mut self, path: &str, value: &Value, default: &[&str]) -> Vec<String> {
        let Value::Array(all) = value else {
            if !value.is_null() {
                self.wrong(path, "a list of namespaces is needed here");
            }
            return default.iter().map(|d| (*d).to_owned()).collect();
        };
        let mut names = Vec::new();
        for (i, name) in all.iter().enumerate() {
            names.push(self.text(&format!("{path}[{i}]"), name, ""));
        }
        names
    }

    fn address(&mut self, path: &str, value: &Value, default: SocketAddr) -> SocketAddr {
        self.known(path, value, &["bind"]);
        let path = format!("{path}.bind");
        let text = self.text(&path, &value["bind"], "");
        if text.is_empty() {
            return default;
        }
        text.parse().unwrap_or_else(|_| {
            self.wrong(&path, format_args!("{text:?} is no address and port, such as 127.0.0.1:8080"));
            default
        })
    }

    fn typed<T: DeserializeOwned>(&mut self, path: &str, value: &Value, keys: &[&str]) -> Option<T> {
        let before = self.errors.len();
        self.known(path, value, keys);
        let mut known = value.clone();
        if let Some(map) = known.as_object_mut() {
            map.retain(|k, _| keys.contains(&k.as_str()));
        }
        match serde_json::from_value(known) {
            Ok(typed) => Some(typed),
            Err(error) => {
                if self.errors.len() == before || !value.is_object() {
                    self.wrong(path, error);
                }
                None
            }
        }
    }

    fn config(&mut self, root: &Value) -> Config {
        self.known("", root, &KEYS);
        let sources = self.sources(root);
        match self.text("hpa", &root["hpa"], "Refuse").as_str() {
            "Refuse" => {}
            "Floor" => self.wrong(
                "hpa",
                "Floor is not built yet; use Refuse, which leaves a workload with an HPA alone",
            ),
            other => self.wrong("hpa", format_args!("{other:?} is neither Refuse nor Floor")),
        }
        let policies = match self.text("policies", &root["policies"], "Enforce").as_str() {
            "Enforce" => Policies::Enforce,
            "Warn" => Policies::Warn,
            other => {
                self.wrong("policies", format_args!("{other:?} is neither Enforce nor Warn"));
                Policies::Enforce
            }
        };
        Config {
            sources,
            policies,
            profiles: self.profiles(root),
            pools: self.pools(&root["pools"]),
            act_namespaces: self.names("actNamespaces", &root["actNamespaces"], &["*"]),
            ledger: self.ledger(&root["ledger"]),
            metrics: self.address("metrics", &root["metrics"], SocketAddr::from(([127, 0, 0, 1], 8080))),
            health: self.address("health", &root["health"], SocketAddr::from(([0, 0, 0, 0], 8081))),
            watch_namespaces: self.names("watchNamespaces", &root["watchNamespaces"], &[]),
            concurrency: usize::try_from(self.number("concurrency", &root["concurrency"], 8, 1..=1024))
                .unwrap_or(8),
        }
    }

    fn sources(&mut self, root: &Value) -> BTreeMap<String, SourceConfig> {
        let mut sources = BTreeMap::new();
        for (name, value) in self.map("sources", &root["sources"]) {
            if let Some(source) = self.source(&format!("sources.{name}"), value) {
                sources.insert(name.clone(), source);
            }
        }
        sources
    }

    fn profiles(&mut self, root: &Value) -> BTreeMap<String, Profile> {
        let mut profiles = BTreeMap::new();
        for (name, value) in self.map("profiles", &root["profiles"]) {
            let path = format!("profiles.{name}");
            let mut profile = Profile::new();
            for (signal, value) in self.map(&path, value) {
                if let Some(definition) = self.signal(&format!("{path}.{signal}"), value, &root["sources"]) {
                    profile.insert(signal.clone(), definition);
                }
            }
            profiles.insert(name.clone(), profile);
        }
        profiles
    }

    fn pools(&mut self, value: &Value) -> BTreeMap<String, Budget> {
        let mut pools = BTreeMap::new();
        for (name, value) in self.map("pools", value) {
            let path = format!("pools.{name}");
            self.known(&path, value, &["maxReplicas", "namespaces"]);
            if value["maxReplicas"].is_null() {
                self.wrong(&format!("{path}.maxReplicas"), "a pool needs its budget of replicas");
            }
            let max = self.number(&format!("{path}.maxReplicas"), &value["maxReplicas"], 1, 1..=100_000);
            let namespaces = self.names(&format!("{path}.namespaces"), &value["namespaces"], &["*"]);
            pools.insert(name.clone(), Budget { max_replicas: i32::try_from(max).unwrap_or(1), namespaces });
        }
        pools
    }

    fn source(&mut self, path: &str, value: &Value) -> Option<SourceConfig> {
        let keys = [
            "url",
            "caFile",
            "tokenFile",
            "basicAuthFile",
            "clientCertFile",
            "headers",
            "matchers",
            "namespaceLabel",
            "timeoutSeconds",
        ];
        let url = value["url"].as_str().unwrap_or_default();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            self.wrong(&format!("{path}.url"), format_args!("{url:?} is no http:// or https:// address"));
        } else if reqwest::Url::parse(url).is_err() {
            self.wrong(&format!("{path}.url"), format_args!("{url:?} is no URL"));
        }
        self.number(&format!("{path}.timeoutSeconds"), &value["timeoutSeconds"], 5, 1..=60);
        if !value["tokenFile"].is_null() && !value["basicAuthFile"].is_null() {
            self.wrong(path, "tokenFile and basicAuthFile exclude each other");
        }
        if url.is_empty() || value["timeoutSeconds"].as_u64().is_none() && !value["timeoutSeconds"].is_null()
        {
            self.known(path, value, &keys);
            return None;
        }
        self.typed(path, value, &keys)
    }

    fn signal(&mut self, path: &str, value: &Value, sources: &Value) -> Option<SignalDefinition> {
        let keys = ["query", "source", "maxAgeSeconds", "min", "max", "zeroWhenFresh"];
        if value["query"].as_str().is_none_or(str::is_empty) {
            self.wrong(&format!("{path}.query"), "a signal needs a query");
            self.known(path, value, &keys);
            return None;
        }
        let definition: SignalDefinition = self.typed(path, value, &keys)?;
        if let Err(error) = crate::observe::signals::acceptable(&definition) {
            self.wrong(&format!("{path}.query"), error);
        }
        let source = definition.source.as_deref().unwrap_or("default");
        if sources.get(source).is_none() {
            self.wrong(
                &format!("{path}.source"),
                format_args!("there is no source {source:?} under sources"),
            );
        }
        Some(definition)
    }

    fn ledger(&mut self, value: &Value) -> LedgerConfig {
        self.known(
            "ledger",
            value,
            &["namespace", "origin", "keyFile", "retiringKeyFile", "succeeds", "tailBytes", "budgetBytes"],
        );
        let origin = self.text("ledger.origin", &value["origin"], "");
        if origin.is_empty() || origin.chars().count() > 100 {
            self.wrong("ledger.origin", "a name of 1 to 100 characters is needed, such as prod-eu/main");
        } else if !crate::ledger::keys::is_name(&origin) {
            self.wrong(
                "ledger.origin",
                format_args!("{origin:?} cannot name a key: no spaces, no plus sign"),
            );
        }
        let key_file = self.text("ledger.keyFile", &value["keyFile"], "");
        if key_file.is_empty() {
            self.wrong(
                "ledger.keyFile",
                "the file of the signing key is needed (matverse ledger keygen makes one)",
            );
        }
        let mut some = |key: &str| {
            Some(self.text(&format!("ledger.{key}"), &value[key], "")).filter(|text| !text.is_empty())
        };
        let (succeeds, retiring_key_file) = (some("succeeds"), some("retiringKeyFile").map(PathBuf::from));
        LedgerConfig {
            namespace: self.text("ledger.namespace", &value["namespace"], "matverse-ledger"),
            origin,
            key_file: key_file.into(),
            // The tail must hold a few entries of the largest size, and an object of the API at most 1 MiB.
            tail_bytes: self.number("ledger.tailBytes", &value["tailBytes"], 65_536, 65_536..=524_288),
            budget_bytes: self.number(
                "ledger.budgetBytes",
                &value["budgetBytes"],
                1 << 26,
                1 << 20..=u64::MAX,
            ),
            succeeds,
            retiring_key_file,
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
