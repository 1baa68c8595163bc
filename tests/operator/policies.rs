//! The operator and the admission policies: no acts where they do not stand, and acts as soon as they do.

use serde_json::json;

use crate::support::stage::{Stage, turns, until};

#[tokio::test]
async fn without_the_policies_nothing_is_recorded_or_done_until_they_stand() {
    let stage = Stage::set().await;
    stage.server.policies(false);
    stage.workload("web", 1);
    stage.scaling("web", &json!({}));
    let operator = stage.start("a");
    until("it says why it does not act", || {
        stage.condition("web", "LedgerAvailable") == ("False".into(), "PoliciesMissing".into())
    })
    .await;
    assert_eq!(stage.condition("web", "Acting"), ("False".into(), "PoliciesMissing".into()));
    assert_eq!(stage.condition("web", "Ready").0, "True", "it evaluates all the same");
    let (code, why) = operator.ready().await;
    assert_eq!(code, 503);
    assert!(why.contains("policies.enabled") && why.contains("policies: Warn"), "the way out: {why}");
    assert!(operator.metrics().await.contains("matverse_policies_stand 0\n"));
    turns(2).await;
    assert_eq!((stage.replicas("web"), stage.appended()), (1, 0));

    stage.server.policies(true);
    until("it acts", || stage.replicas("web") == 2).await;
    until("and recorded it", || stage.record().results() == ["applied"]).await;
    assert_eq!(operator.ready().await.0, 200);
    assert!(operator.metrics().await.contains("matverse_policies_stand 1\n"));
}

#[tokio::test]
async fn a_warning_does_not_hold_it_back() {
    let stage = Stage::set().await;
    stage.server.policies(false);
    stage.workload("web", 1);
    stage.scaling("web", &json!({}));
    let operator = stage.start_with("a", "policies: Warn\n");
    until("it acts", || stage.replicas("web") == 2).await;
    until("and recorded it", || stage.record().results() == ["applied"]).await;
    assert!(operator.metrics().await.contains("matverse_policies_stand 0\n"));
}
