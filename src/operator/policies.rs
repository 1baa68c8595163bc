//! Whether the admission policies stand, shown by what they refuse.
//!
//! ```text
//!  CREATE a ConfigMap that is none of the ledger's, as a dry run
//!    ├ refused, and the refusal names the policy ─► they stand; asked again each minute
//!    ├ taken ─────────────────────────────────────► they do not: Enforce = no acts, Warn = a warning
//!    └ refused by anything else, or no answer ────► the same; but where they stood, that holds for a minute more
//! ```
//!
//! The same with a change, without a decision, of a ConfigMap where it may act: that one `-acts` must refuse.
//! A namespaced installation may not read policies, so nothing is asked of them but their effect.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;

use super::clock::Monotonic;
use super::config::Policies;
use super::world::World;
use crate::act::{CallError, bounded};

/// Name of the ConfigMap that nobody may create in the ledger's namespace.
pub const PROBE: &str = "policy-probe";
/// How the trouble begins, in conditions and logs.
pub const UNPROVEN: &str = "the admission policies are not proven";
/// Reason of a condition that the trouble is behind.
pub const REASON: &str = "PoliciesMissing";
/// How a refusal by a policy begins, and how the names of ours end.
const POLICY: &str = "ValidatingAdmissionPolicy '";
const LEDGER: &str = "-worm";
const ACTS: &str = "-acts";
/// A ConfigMap that every namespace has.
const EVERYWHERE: &str = "kube-root-ca.crt";
/// How long an answer counts.
const AGAIN: Duration = Duration::from_secs(60);
/// Rest before an answer that says nothing is asked for again, and how often: an API server that has just started
/// refuses for reasons of its own, and a ledger is not closed for that.
const UNCLEAR: (Duration, u32) = (Duration::from_secs(5), 12);

/// What to do about it.
const WAY_OUT: &str = "Install them (policies.enabled of the chart, or an administrator applies what it renders), or set policies: Warn";

/// Why the policies are not proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// The write would be taken.
    #[error("{UNPROVEN}: {0}. {WAY_OUT}")]
    Missing(String),
    /// It was refused, or not answered, and the policy had no part in that.
    #[error("{UNPROVEN}: {0}. {WAY_OUT}")]
    Unclear(String),
}

/// Asks for the write that must be refused. The name of the policy that refused it.
///
/// # Errors
/// [`Unproven`].
pub async fn prove(client: &Client, namespace: &str) -> Result<String, Unproven> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let probe = ConfigMap {
        metadata: ObjectMeta { name: Some(PROBE.into()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("why".into(), "a dry run, which the policies must refuse".into())])),
        ..ConfigMap::default()
    };
    let params = PostParams { dry_run: true, ..PostParams::default() };
    match bounded(api.create(&params, &probe)).await {
        Ok(_) => Err(Unproven::Missing(format!(
            "no policy refuses ConfigMap {namespace}/{PROBE}, which is none of the ledger's"
        ))),
        Err(CallError::Refused(why)) => policy_of(&why, LEDGER).ok_or_else(|| {
            Unproven::Unclear(format!("ConfigMap {namespace}/{PROBE} was refused by something else: {why}"))
        }),
        Err(CallError::Gone) => Err(Unproven::Missing(format!("namespace {namespace} does not exist"))),
        Err(CallError::Conflict) => {
            Err(Unproven::Missing(format!("ConfigMap {namespace}/{PROBE} exists, and no policy refuses it")))
        }
        Err(CallError::Lost(why)) => Err(Unproven::Unclear(why)),
    }
}

/// Asks, as the operator, for a change without a decision in a namespace where it may act.
///
/// # Errors
/// [`Unproven`].
async fn prove_acts(client: &Client, namespace: &str) -> Result<String, Unproven> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let change = Patch::Merge(json!({"data": {PROBE: "a dry run, which the policies must refuse"}}));
    let what = format!("a change of ConfigMap {namespace}/{EVERYWHERE} without a decision");
    match bounded(api.patch(EVERYWHERE, &params, &change)).await {
        Ok(_) => Err(Unproven::Missing(format!("no policy refuses {what}"))),
        Err(CallError::Refused(why)) => policy_of(&why, ACTS)
            .ok_or_else(|| Unproven::Unclear(format!("{what} was refused by something else: {why}"))),
        Err(why) => Err(Unproven::Unclear(format!("{what}: {why}"))),
    }
}

/// Both, where the operator may act at all.
async fn prove_all(world: &World) -> Result<String, Unproven> {
    let found = prove(&world.client, &world.config.ledger.namespace).await?;
    match world.config.act_namespaces.first().map(String::as_str) {
        None => Ok(found),
        Some("*") => prove_acts(&world.client, "default").await,
        Some(namespace) => prove_acts(&world.client, namespace).await,
    }
}

/// The policy that a refusal names, where its name ends so.
fn policy_of(refusal: &str, ours: &str) -> Option<String> {
    let (_, rest) = refusal.split_once(POLICY)?;
    let (name, _) = rest.split_once('\'')?;
    name.ends_with(ours).then(|| name.to_owned())
}

/// What is known of the policies, and until when.
#[derive(Debug, Default)]
pub struct Watch {
    stand: Option<bool>,
    /// Answers that said nothing, in a row.
    unclear: u32,
    due: Option<Monotonic>,
}

impl Watch {
    /// Whether intents may be recorded as far as the policies go; asks where the last answer no longer counts.
    ///
    /// # Errors
    /// Why not, with the way out.
    pub async fn look(&mut self, world: &World) -> Result<(), Unproven> {
        let enforce = world.config.policies == Policies::Enforce;
        let now = world.clock.monotonic();
        if self.due.is_some_and(|due| now < due) {
            return Ok(());
        }
        let found = prove_all(world).await;
        let stood = self.stand;
        if matches!(found, Err(Unproven::Unclear(_))) && stood == Some(true) && self.unclear < UNCLEAR.1 {
            self.unclear += 1;
            self.due = Some(now.plus(UNCLEAR.0));
            return Ok(());
        }
        self.unclear = 0;
        self.stand = Some(found.is_ok());
        world.telemetry.policies(found.is_ok());
        if stood != self.stand {
            match &found {
                Ok(policy) => tracing::info!(%policy, "the admission policies stand"),
                Err(why) => tracing::error!(%why, acts = !enforce, "the admission policies do not stand"),
            }
        }
        match found {
            // It is asked again whenever the ledger could be opened.
            Err(why) if enforce => {
                self.due = None;
                Err(why)
            }
            _ => {
                self.due = Some(now.plus(AGAIN));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_that_names_the_policy_for_the_ledger_is_one() {
        let by = |name: &str| {
            format!(
                "HTTP 403: configmaps \"policy-probe\" is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: only the ledger"
            )
        };
        assert_eq!(
            policy_of(&by("matverse-autonomy-worm"), LEDGER).as_deref(),
            Some("matverse-autonomy-worm")
        );
        assert_eq!(policy_of(&by("labels-are-required"), LEDGER), None);
        assert_eq!(policy_of("HTTP 403: User \"x\" cannot create resource \"configmaps\"", LEDGER), None);
        assert_eq!(policy_of("HTTP 422: the name -worm is taken", LEDGER), None);
    }

    #[test]
    fn the_trouble_names_the_way_out() {
        let why = Unproven::Missing("ConfigMap l/policy-probe would be taken".into()).to_string();
        assert!(why.starts_with(UNPROVEN));
        for words in ["policies.enabled", "policies: Warn", "l/policy-probe"] {
            assert!(why.contains(words), "{why}");
        }
    }
}
