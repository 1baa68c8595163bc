//! A leader as a process of its own: opens the ledger, settles what it finds, decides and acts a few times.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use matverse::act;
use matverse::api::scaling::MatVerseScalingSpec;
use matverse::decide::situation::{Action, GateView, Memory, ObjectRef, Plan, Standing};
use matverse::decide::{Decision, Situation, decide};
use matverse::ledger::configmaps::ConfigMaps;
use matverse::ledger::keys::Signer;
use matverse::ledger::{Ledger, LedgerError, Outcome, Settings, state};
use matverse::observe::reading::Evidence;
use matverse::observe::revision_set::RevisionSet;
use matverse::observe::{Observed, facts};
use matverse::orient::Picture;

pub const ORIGIN: &str = "campaign/main";
/// Small, so that it is sealed every few decisions.
pub const TAIL_BYTES: usize = 24 * 1024;

pub fn signer() -> Signer {
    Signer::from_seed(ORIGIN, &[7; 32]).unwrap()
}

fn var(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Its orders come by the environment; it ends when they are done, or when somebody else leads.
pub fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if let Err(why) = lead().await {
            println!("{}: {why}", var("WORKER_NAME"));
        }
    });
}

fn now() -> Timestamp {
    Timestamp::now()
}

async fn lead() -> Result<(), LedgerError> {
    let config = kube::Config::new(var("WORKER_URL").parse().unwrap());
    let client = matverse::operator::client::with(config).unwrap();
    let ledger = open(&client).await?;
    let targets: Vec<String> = var("WORKER_TARGETS").split(',').map(str::to_owned).collect();
    for target in targets {
        one(&client, &ledger, &target).await?;
    }
    Ok(())
}

/// As the operator does: another try while the store does not answer, none when somebody else leads.
async fn open(client: &Client) -> Result<Ledger, LedgerError> {
    let settings = Settings { actor: var("WORKER_NAME"), tail_bytes: TAIL_BYTES, ..Settings::immediate() };
    let mut tries = 0;
    let (ledger, recovery) = loop {
        let store = Arc::new(ConfigMaps::new(client.clone(), &var("WORKER_LEDGER")));
        match Ledger::open_with(store, signer(), ORIGIN, settings.clone(), now()).await {
            Ok(opened) => break opened,
            Err(error) if error.is_final() || tries == 5 => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for open in recovery.open {
        let outcome = act::settle(client, &open.act, recovery.epoch, &now).await;
        repeat(|| ledger.conclude_recovered(&open, outcome.clone(), now())).await?;
    }
    Ok(ledger)
}

/// Until it is recorded, or cannot be any more.
async fn repeat<T, F>(mut ask: impl FnMut() -> F) -> Result<T, LedgerError>
where
    F: Future<Output = Result<T, LedgerError>>,
{
    loop {
        match ask().await {
            Err(error)
                if !error.is_final()
                    && matches!(error, LedgerError::Unreachable(_) | LedgerError::Denied(_)) =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
}

async fn one(client: &Client, ledger: &Ledger, target: &str) -> Result<(), LedgerError> {
    let namespace = var("WORKER_NAMESPACE");
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
    let Ok(deployment) = deployments.get(target).await else { return Ok(()) };
    let sets: Api<RevisionSet> = Api::namespaced(client.clone(), &namespace);
    let Ok(sets) = sets.list(&ListParams::default().labels(&format!("app={target}"))).await else {
        return Ok(());
    };
    let sets: Vec<_> = sets.items.into_iter().map(Arc::new).collect();
    let (situation, decision) = decided(&deployment, &sets, target);
    let intended = match ledger.intend(&situation, decision.clone(), now()).await {
        Ok(intended) => intended,
        Err(error) if error.is_final() => return Err(error),
        Err(_) => return Ok(()),
    };
    if var("WORKER_MUTANT") == "OutcomeFirst" {
        let post = state::after(&situation, &decision.plan).unwrap();
        let outcome = Outcome::Applied { resource_version: String::new(), post };
        let early = intended.clone().acted(outcome, now());
        repeat(|| ledger.conclude(early.clone())).await?;
        act::act(client, intended, &now).await;
        return Ok(());
    }
    let acted = act::act(client, intended, &now).await;
    repeat(|| ledger.conclude(acted.clone())).await?;
    Ok(())
}

/// A real situation of the target, and on it the plan of another count between one and four.
fn decided(deployment: &Deployment, sets: &[Arc<RevisionSet>], target: &str) -> (Situation, Decision) {
    let from = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let spec: MatVerseScalingSpec = serde_json::from_value(serde_json::json!({
        "targetRef": {"name": target}, "enforcement": "Act", "minReplicas": 1, "maxReplicas": 4
    }))
    .unwrap();
    let workload = facts::workload(&facts::Sources {
        deployment,
        replica_sets: sets,
        pods: Some(&[]),
        other_scalers: Vec::new(),
        config_changed_at: None,
        retune: None,
        tuned: None,
        now: now(),
    });
    let object = ObjectRef {
        namespace: deployment.namespace().unwrap_or_default(),
        name: target.into(),
        uid: format!("uid-of-{target}"),
        target: target.into(),
    };
    let at = now();
    let situation = Situation {
        now: at,
        object: object.into(),
        spec,
        observed: Observed { at, evidence: Evidence::default(), workload: Some(workload) },
        picture: Picture::default(),
        memory: Memory::default(),
        gate: GateView::None,
        gate_fault: None,
        standing: Standing { ledger_available: true, namespace_may_act: true, ..Standing::default() },
    };
    let to = from % 4 + 1;
    let decision = Decision {
        action: if to > from { Action::ScaleUp } else { Action::ScaleDown },
        plan: Plan::Scale { from, to },
        act: true,
        want: to,
        ..decide(&situation)
    };
    (situation, decision)
}
