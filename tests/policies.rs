//! The chart's admission policies on a real API server: who may do what to the ledger, to a target, to a resource.
//!
//! ```text
//!  objects of a story ─► helm template ─► policies ─► each row: identity × write, as a dry run ─► allowed, or refused by
//! ```
//!
//! Every identity of the tables may do everything as far as RBAC goes, unless the row is about its rights, so that
//! what is refused is refused by a policy. Needs a cluster (`MATVERSE_E2E_KUBECONFIG`) and helm (`HELM` or the path);
//! without them the test says so and passes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "a table reads better without ampersands")]

#[path = "policies/acts.rs"]
mod acts;
#[path = "policies/cluster.rs"]
mod cluster;
#[path = "policies/ledger.rs"]
mod ledger;
#[path = "policies/resources.rs"]
mod resources;
#[path = "policies/story.rs"]
mod story;
#[path = "policies/writer.rs"]
mod writer;

use std::sync::Arc;

use cluster::{Case, Cluster};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_api_server_refuses_what_the_policies_forbid_and_nothing_else() {
    let Some(cluster) = Cluster::connect().await else { return };
    let cluster = Arc::new(cluster);
    // In a task of its own, so that the cluster is left as it was found when a check fails.
    let verdict = tokio::spawn(checks(cluster.clone())).await;
    cluster.leave().await;
    if let Err(failed) = verdict {
        std::panic::resume_unwind(failed.into_panic());
    }
}

async fn checks(cluster: Arc<Cluster>) {
    story::tell(&cluster).await;
    cluster.install().await;
    writer::lives(&cluster).await;
    let mut count = 0;
    let mut wrong = Vec::new();
    let tables: [(&str, Vec<Case>); 5] = [
        ("the ledger", ledger::growing()),
        ("what is sealed", ledger::sealed()),
        ("acts", acts::table()),
        ("who a resource acts for", resources::deputy()),
        ("who asks", resources::requests()),
    ];
    for (title, table) in tables {
        println!("{title}: {} rows", table.len());
        count += table.len();
        wrong.extend(cluster.try_all(&table).await);
    }
    // Last, because it is in earnest: a namespace that is being deleted cannot be called back.
    ledger::give_up_the_namespace(&cluster).await;
    let table = ledger::swept();
    count += table.len();
    wrong.extend(cluster.try_all(&table).await);
    assert!(wrong.is_empty(), "{} of {count} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 56, "{count} rows");
    println!("{count} rows hold");
}
