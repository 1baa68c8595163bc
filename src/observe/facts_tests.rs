//! Facts of a workload from hand-written objects.

use serde_json::json;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}})
}

fn deployment(image: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "9", "generation": 3,
            "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template(image)},
        "status": {"observedGeneration": 3, "replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}
    }))
    .unwrap()
}

fn replica_set(hash: &str, number: i64, image: &str, created: &str, ready: i32) -> Arc<RevisionSet> {
    let mut template = template(image);
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    let set: RevisionSet = serde_json::from_value(json!({
        "metadata": {"name": format!("web-{hash}"), "labels": {"pod-template-hash": hash}, "creationTimestamp": created,
            "annotations": {"deployment.kubernetes.io/revision": number.to_string()}},
        "spec": {"selector": {}, "template": template}, "status": {"replicas": ready, "readyReplicas": ready}
    }))
    .unwrap();
    Arc::new(set)
}

fn pod(hash: &str, status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "labels": {"pod-template-hash": hash}, "creationTimestamp": "2026-01-01T00:50:00Z"},
        "status": status
    }))
    .unwrap()
}

fn sets() -> Vec<Arc<RevisionSet>> {
    vec![
        replica_set("old", 1, "web:1", "2026-01-01T00:00:00Z", 0),
        replica_set("new", 2, "web:2", "2026-01-01T00:30:00Z", 2),
    ]
}

fn facts(deployment: &Deployment, sets: &[Arc<RevisionSet>], pods: Option<&[Pod]>) -> Workload {
    workload(&Sources {
        deployment,
        replica_sets: sets,
        pods,
        other_scalers: Vec::new(),
        config_changed_at: None,
        retune: None,
        tuned: None,
        now: now(),
    })
}

#[test]
fn revisions_are_told_apart_and_the_current_one_is_the_template_s() {
    let w = facts(&deployment("web:2"), &sets(), None);
    assert_eq!((w.current.pod_template_hash.as_str(), w.current.number), ("new", 2));
    assert_eq!(w.previous.iter().map(|r| r.pod_template_hash.as_str()).collect::<Vec<_>>(), ["old"]);
    assert_ne!(w.current.template, w.previous[0].template);
    assert_eq!((w.desired, w.ready, w.updated, w.generation), (2, 2, 2, 3));
    assert!(w.rollout.complete);
}

#[test]
fn a_restart_and_the_controller_s_label_are_no_part_of_the_identity() {
    let plain: PodTemplateSpec = serde_json::from_value(template("web:1")).unwrap();
    let mut marked = template("web:1");
    marked["metadata"]["labels"]["pod-template-hash"] = json!("abc");
    marked["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"});
    let marked: PodTemplateSpec = serde_json::from_value(marked).unwrap();
    let other: PodTemplateSpec = serde_json::from_value(template("web:2")).unwrap();
    assert_eq!(identity(&plain), identity(&marked));
    assert_ne!(identity(&plain), identity(&other));
    assert_eq!(identity(&plain).len(), 16);
}

#[test]
fn a_revision_that_is_used_again_starts_when_its_template_was_written_and_our_counts_start_nothing() {
    let mut d = deployment("web:2");
    let entry = |manager: &str, time: &str, fields: Value| json!({"manager": manager, "operation": "Update", "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields});
    let written = entry("kubectl-set", "2026-01-01T00:55:00Z", json!({"f:spec": {"f:template": {}}}));
    let ours =
        entry("matverse", "2026-01-01T00:59:00Z", json!({"f:spec": {"f:replicas": {}, "f:template": {}}}));
    d.metadata.managed_fields = serde_json::from_value(json!([written, ours])).unwrap();
    assert_eq!(facts(&d, &sets(), None).current.started_at, "2026-01-01T00:30:00Z".parse().unwrap());
    let mut sets = sets();
    Arc::make_mut(&mut sets[1]).annotations_mut().insert(REUSED.into(), "1".into());
    assert_eq!(facts(&d, &sets, None).current.started_at, "2026-01-01T00:55:00Z".parse().unwrap());
}

#[test]
fn a_template_without_a_replica_set_is_a_revision_that_has_not_begun() {
    let w = facts(&deployment("web:3"), &sets(), None);
    assert_eq!(w.current.pod_template_hash, "");
    assert_eq!(w.previous.len(), 2);
}

#[test]
fn crashes_count_and_evictions_do_not() {
    let crash = json!({"containerStatuses": [{"name": "web", "image": "i", "imageID": "", "ready": false, "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]});
    let mut evicted = crash.clone();
    evicted["reason"] = json!("Evicted");
    let running = json!({"containerStatuses": [{"name": "web", "image": "i", "imageID": "", "ready": true, "restartCount": 7,
        "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 0}}}]});
    for (status, hash, expected) in
        [(&crash, "new", 4), (&crash, "old", 0), (&evicted, "new", 0), (&running, "new", 0)]
    {
        let w = facts(&deployment("web:2"), &sets(), Some(&[pod(hash, status)]));
        assert_eq!(w.rollout.crashes, expected, "{status} of {hash}");
    }
}

#[test]
fn pods_without_room_are_unschedulable_and_a_quota_too() {
    let stuck =
        json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]});
    assert_eq!(facts(&deployment("web:2"), &sets(), Some(&[pod("new", &stuck)])).rollout.unschedulable, 1);
    let mut d = deployment("web:2");
    d.status.as_mut().unwrap().conditions = serde_json::from_value(
        json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}]),
    )
    .unwrap();
    assert_eq!(facts(&d, &sets(), None).rollout.unschedulable, 1);
}

#[test]
fn the_progress_deadline_counts_only_for_the_generation_that_was_seen() {
    let mut d = deployment("web:2");
    let status = d.status.as_mut().unwrap();
    status.conditions = serde_json::from_value(
        json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]),
    )
    .unwrap();
    assert!(facts(&d, &sets(), None).rollout.deadline_exceeded);
    d.status.as_mut().unwrap().observed_generation = Some(2);
    let w = facts(&d, &sets(), None);
    assert!(!w.rollout.deadline_exceeded && !w.rollout.complete);
}

#[test]
fn the_start_time_is_the_median_from_creation_to_ready() {
    let ready = |time: &str| {
        pod("new", &json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": time}]}))
    };
    let pods = [ready("2026-01-01T00:50:08Z"), ready("2026-01-01T00:50:10Z"), ready("2026-01-01T00:55:00Z")];
    let w = facts(&deployment("web:2"), &sets(), Some(&pods));
    assert_eq!(w.start_seconds, Some(10.0));
    assert_eq!(w.rollout.last_ready_at, Some("2026-01-01T00:55:00Z".parse().unwrap()));
}

#[test]
fn a_pause_is_true_or_a_time() {
    for (text, paused) in [
        ("true", true),
        ("false", false),
        ("", false),
        ("2026-01-01T02:00:00Z", true),
        ("2026-01-01T00:30:00Z", false),
        ("yes please", true),
    ] {
        let mut d = deployment("web:2");
        d.metadata.annotations.as_mut().unwrap().insert(PAUSED.into(), text.into());
        assert_eq!(facts(&d, &sets(), None).pause_requested, paused, "{text:?}");
    }
}

#[test]
fn gitops_owners_are_known_by_their_marks() {
    let mut argo = deployment("web:2");
    argo.metadata.annotations.as_mut().unwrap().insert("argocd.argoproj.io/tracking-id".into(), "x".into());
    assert_eq!(facts(&argo, &sets(), None).gitops.as_deref(), Some("Argo CD"));
    let mut flux = deployment("web:2");
    flux.metadata.labels = Some(BTreeMap::from([("kustomize.toolkit.fluxcd.io/name".into(), "x".into())]));
    assert_eq!(facts(&flux, &sets(), None).gitops.as_deref(), Some("Flux"));
    assert_eq!(facts(&deployment("web:2"), &sets(), None).gitops, None);
}

fn retune() -> Retune {
    serde_json::from_value(json!({"configMapRef": {"name": "settings"}, "parameters": [{"key": "batch", "min": 1.0, "max": 64.0}]})).unwrap()
}

fn refused(map: &Value, pod: &Value) -> Option<String> {
    let map: ConfigMap = serde_json::from_value(map.clone()).unwrap();
    let pod: PodSpec = serde_json::from_value(pod.clone()).unwrap();
    tunable(&retune(), Some(&map), Some(&pod)).unwrap().refused
}

#[test]
fn what_cannot_be_tuned_says_why() {
    let good = json!({"metadata": {"name": "settings"}, "data": {"batch": "16"}});
    let mount = json!({"name": "s", "mountPath": "/etc/s"});
    let pod = |mount: Value, extra: Value| {
        let mut container = json!({"name": "c", "volumeMounts": [mount]});
        container.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"containers": [container], "volumes": [{"name": "s", "configMap": {"name": "settings"}}]})
    };
    let plain = pod(mount.clone(), json!({}));
    assert_eq!(refused(&good, &plain), None);
    let mut frozen = good.clone();
    frozen["immutable"] = json!(true);
    assert!(refused(&frozen, &plain).unwrap().contains("immutable"));
    let words = json!({"metadata": {"name": "settings"}, "data": {"batch": "many"}});
    assert!(refused(&words, &plain).unwrap().contains("no number"));
    assert!(refused(&json!({"metadata": {"name": "settings"}}), &plain).unwrap().contains("not there"));
    let by_path = pod(json!({"name": "s", "mountPath": "/etc/s", "subPath": "batch"}), json!({}));
    assert!(refused(&good, &by_path).unwrap().contains("subPath"));
    let environment = pod(mount, json!({"envFrom": [{"configMapRef": {"name": "settings"}}]}));
    assert!(refused(&good, &environment).unwrap().contains("environment"));
    assert!(refused(&good, &json!({"containers": [{"name": "c"}]})).unwrap().contains("not mounted"));
}

#[test]
fn config_maps_of_the_template_are_found_wherever_they_are_named() {
    let mut d = deployment("web:2");
    d.spec.as_mut().unwrap().template.spec = serde_json::from_value(json!({
        "volumes": [{"name": "a", "configMap": {"name": "one"}}, {"name": "b", "projected": {"sources": [{"configMap": {"name": "two"}}]}}],
        "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "three"}}],
            "env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "four", "key": "k"}}}]}]
    }))
    .unwrap();
    let names: Vec<String> = referenced_config_maps(&d).into_iter().collect();
    assert_eq!(names, ["four", "one", "three", "two"]);
}

#[test]
fn a_change_of_data_by_others_is_dated_and_ours_is_not() {
    let entry = |manager: &str, time: &str, fields: Value| json!({"manager": manager, "operation": "Update", "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields});
    let meta: ObjectMeta = serde_json::from_value(json!({"managedFields": [
        entry("kubectl-edit", "2026-01-01T00:10:00Z", json!({"f:data": {}})),
        entry("matverse", "2026-01-01T00:20:00Z", json!({"f:data": {}})),
        entry("kubectl-label", "2026-01-01T00:30:00Z", json!({"f:metadata": {}}))
    ]}))
    .unwrap();
    assert_eq!(changed_by_others(&meta, "matverse"), Some("2026-01-01T00:10:00Z".parse().unwrap()));
}
