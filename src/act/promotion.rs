//! What a promotion writes: the challenger's pod template under the champion's own labels. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodTemplateSpec;

/// Label keys that a Deployment selects its pods by.
#[must_use]
pub fn selector_keys(deployment: &Deployment) -> BTreeSet<String> {
    let Some(spec) = &deployment.spec else { return BTreeSet::new() };
    let labels = spec.selector.match_labels.iter().flatten().map(|(key, _)| key.clone());
    let expressions = spec.selector.match_expressions.iter().flatten().map(|e| e.key.clone());
    labels.chain(expressions).collect()
}

/// A template without the labels that tell the contestants apart.
#[must_use]
pub fn without_labels(template: &PodTemplateSpec, keys: &BTreeSet<String>) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.retain(|key, _| !keys.contains(key));
    }
    template
}

/// The challenger's template as the champion gets it: what either selects by is the champion's own, so its selector
/// still holds, and no pod of the champion is one of the challenger's Service.
///
/// # Errors
/// A Deployment without a spec.
pub fn promoted(champion: &Deployment, challenger: &Deployment) -> Result<PodTemplateSpec, String> {
    let template = |of: &Deployment| of.spec.as_ref().map(|spec| spec.template.clone());
    let own = template(champion).ok_or("the champion has no spec")?;
    let theirs = template(challenger).ok_or("the challenger has no spec")?;
    let keys: BTreeSet<String> = selector_keys(champion).union(&selector_keys(challenger)).cloned().collect();
    let mut promoted = without_labels(&theirs, &keys);
    let kept = own.metadata.and_then(|m| m.labels).unwrap_or_default();
    let labels = promoted.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.extend(kept.into_iter().filter(|(key, _)| keys.contains(key)));
    Ok(promoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment(selector: &serde_json::Value, labels: &serde_json::Value, image: &str) -> Deployment {
        serde_json::from_value(json!({"spec": {"selector": selector, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}}}))
        .unwrap()
    }

    #[test]
    fn the_champion_keeps_its_labels_and_gets_all_else() {
        let champion = deployment(
            &json!({"matchLabels": {"app": "shop", "track": "stable"}}),
            &json!({"app": "shop", "track": "stable", "team": "a"}),
            "shop:1",
        );
        let challenger = deployment(
            &json!({"matchLabels": {"app": "shop", "track": "next"}, "matchExpressions": [{"key": "role", "operator": "Exists"}]}),
            &json!({"app": "shop", "track": "next", "role": "x", "version": "2"}),
            "shop:2",
        );
        let got = promoted(&champion, &challenger).unwrap();
        let value = serde_json::to_value(&got).unwrap();
        assert_eq!(value["metadata"]["labels"], json!({"app": "shop", "track": "stable", "version": "2"}));
        assert_eq!(value["spec"]["containers"][0]["image"], "shop:2");
        let keys: BTreeSet<String> = ["app", "track", "role"].map(String::from).into();
        let plain = |d: &Deployment| without_labels(&d.spec.as_ref().unwrap().template, &keys);
        assert_eq!(without_labels(&got, &keys), plain(&challenger), "then both are the same release");
        assert_ne!(plain(&champion), plain(&challenger));
    }
}
