//! `matverse crds`: prints the definitions of both kinds; `crds/` holds exactly that output.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::api::crd;

/// Both definitions as one YAML stream: the files of [`files`], one after the other.
///
/// # Errors
/// When a definition cannot be written as YAML; the types are fixed, so a test would have seen it.
pub fn render() -> anyhow::Result<String> {
    Ok(files()?.into_iter().map(|(_, yaml)| yaml).collect())
}

/// Name and content of each file in `crds/`, in the order of the output.
///
/// # Errors
/// As [`render`].
pub fn files() -> anyhow::Result<Vec<(String, String)>> {
    crd::all().iter().map(|crd| Ok((format!("{}.yaml", crd.spec.names.plural), document(crd)?))).collect()
}

/// One YAML document. Keys come in the order of the Kubernetes types and of sorted maps, so the same
/// types give the same bytes.
fn document(crd: &CustomResourceDefinition) -> anyhow::Result<String> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let yaml = serde_saphyr::to_string_with_options(&serde_json::to_value(crd)?, options)?;
    Ok(format!("---\n{}\n", yaml.trim_end()))
}
