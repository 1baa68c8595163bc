//! Exit codes and files of the verbs.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;

use super::keygen::manifest;
use super::*;
use crate::ledger::keys::Signer;
use crate::ledger::memory::MemoryStore;
use crate::ledger::statement::Note;
use crate::ledger::{Ledger, Settings};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: LedgerCommand,
}

fn parse(args: &[&str]) -> LedgerCommand {
    Cli::try_parse_from([&["ledger"], args].concat()).unwrap_or_else(|e| panic!("{e}")).command
}

async fn exit(args: &[&str]) -> u8 {
    parse(args).code().await.unwrap_or(USAGE)
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("matverse-cli-ledger-{}-{name}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn a_key_is_written_once_for_its_owner_alone() {
    let folder = folder("keygen");
    let path = folder.join("key.pem");
    let args = ["keygen", "--name", "prod/main", "--out", path.to_str().unwrap()];
    assert_eq!(exit(&args).await, 0);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let first = std::fs::read(&path).unwrap();
    Signer::from_file("prod/main", &path).unwrap();
    assert_eq!(exit(&args).await, USAGE, "it is never replaced");
    assert_eq!(std::fs::read(&path).unwrap(), first);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_secret_manifest_holds_the_key_and_its_public_half() {
    #[derive(serde::Deserialize)]
    struct Secret {
        kind: String,
        immutable: bool,
        #[serde(rename = "stringData")]
        data: std::collections::BTreeMap<String, String>,
    }
    let signer = Signer::from_seed("prod/main", &[1; 32]).unwrap();
    let secret: Secret = serde_saphyr::from_str(&manifest(&signer, "matverse/key").unwrap()).unwrap();
    assert_eq!((secret.kind.as_str(), secret.immutable), ("Secret", true));
    let again = Signer::from_pkcs8_pem("prod/main", &secret.data["key.pem"]).unwrap();
    assert_eq!(again.verifier().to_string(), secret.data["vkey"]);
    for bad in ["key", "a/b: c", "/key", "a/", "a/b\n"] {
        assert!(manifest(&signer, bad).is_err(), "{bad:?}");
    }
}

/// A ledger with a few notes, saved into `folder` as files.
struct Kept {
    store: MemoryStore,
    ledger: Ledger,
    vkey: String,
    folder: PathBuf,
}

const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

impl Kept {
    async fn new(name: &str) -> Self {
        let store = MemoryStore::default();
        let signer = Signer::from_seed("prod/main", &[1; 32]).unwrap();
        let vkey = signer.verifier().to_string();
        let settings = Settings { tail_bytes: 1500, ..Settings::immediate() };
        let (ledger, _) =
            Ledger::open_with(Arc::new(store.clone()), signer, "prod/main", settings, NOW).await.unwrap();
        let kept = Self { store, ledger, vkey, folder: folder(name) };
        kept.grow(3).await;
        kept
    }

    async fn grow(&self, notes: usize) {
        for n in 0..notes {
            let note = Note { topic: "paused".into(), message: format!("number {n}"), ..Note::default() };
            self.ledger.note(note, NOW).await.unwrap();
        }
    }

    /// Saves each object as a file; their paths.
    fn save(&self) -> Vec<String> {
        let save = |object: crate::ledger::store::Object| {
            let path = self.path(&format!("{}.json", object.name));
            let mut map = serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": object.data, "metadata": {"name": object.name}
            });
            if object.immutable {
                map["immutable"] = true.into();
            }
            std::fs::write(&path, map.to_string()).unwrap();
            path
        };
        self.store.objects().into_iter().map(save).collect()
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    async fn run(&self, verb: &str, files: &[String], more: &[&str]) -> u8 {
        let mut args = vec![verb, "--key", &self.vkey];
        args.extend(more);
        args.extend(files.iter().map(String::as_str));
        exit(&args).await
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

#[tokio::test]
async fn exit_codes_tell_good_tampered_incomplete_and_usage_apart() {
    let kept = Kept::new("verify").await;
    let all = kept.save();
    assert_eq!(kept.run("verify", &all, &[]).await, 0);
    assert_eq!(kept.run("verify", &all, &["-o", "json", "--signatures", "checkpoint"]).await, 0);
    let checkpoint = kept.path("checkpoint");
    let tail = kept.store.objects().into_iter().find(|o| o.name == "tail").unwrap();
    std::fs::write(&checkpoint, &tail.data["checkpoint"]).unwrap();
    assert_eq!(kept.run("verify", &all, &["--since", &checkpoint]).await, 0);
    for missing in 0..all.len() {
        let mut rest = all.clone();
        let name = rest.remove(missing);
        assert_eq!(kept.run("verify", &rest, &[]).await, 2, "{name} is missing");
    }
    assert_eq!(kept.run("verify", &["/nonexistent".to_owned()], &[]).await, USAGE);
    assert_eq!(kept.run("verify", &[], &[]).await, USAGE);
    assert_eq!(kept.run("verify", &all, &["--key", "nonsense"]).await, USAGE);
    let first = all.iter().find(|file| file.contains("seg-")).unwrap();
    let text = std::fs::read_to_string(first).unwrap();
    std::fs::write(first, text.replacen("genesis", "genesit", 1)).unwrap();
    assert_eq!(kept.run("verify", &all, &[]).await, 1);
    assert_eq!(
        kept.run("prove", &all, &["--index", "1"]).await,
        1,
        "nothing is proven from what was changed"
    );
    std::fs::write(first, &text[1..]).unwrap();
    assert_eq!(kept.run("verify", &all, &[]).await, 1, "a file that cannot be read is not what was saved");
}

#[tokio::test]
async fn a_proof_stands_alone_and_no_byte_of_it_can_change() {
    let kept = Kept::new("prove").await;
    let (all, out) = (kept.save(), kept.path("e.tlog-proof"));
    assert_eq!(kept.run("prove", &all, &["--index", "99"]).await, USAGE);
    for index in ["0", "2", "4"] {
        assert_eq!(kept.run("prove", &all, &["--index", index, "--out", &out]).await, 0);
        assert_eq!(kept.run("verify", &[], &["--proof", &out]).await, 0);
    }
    let other = Signer::from_seed("prod/main", &[2; 32]).unwrap().verifier().to_string();
    assert_eq!(exit(&["verify", "--key", &other, "--proof", &out]).await, 1);
    let proof = std::fs::read(&out).unwrap();
    for at in (0..proof.len()).step_by(7) {
        let mut changed = proof.clone();
        changed[at] ^= 1;
        std::fs::write(&out, changed).unwrap();
        assert_eq!(kept.run("verify", &[], &["--proof", &out]).await, 1, "byte {at}");
    }
}

#[tokio::test]
async fn an_export_verifies_is_continued_and_stands_in_for_what_was_removed() {
    let kept = Kept::new("export").await;
    let to = kept.path("export");
    assert_eq!(kept.run("export", &kept.save(), &["--to", &to]).await, 0);
    let export = [to.clone()];
    assert_eq!(kept.run("verify", &export, &[]).await, 0);
    kept.grow(300).await;
    let all = kept.save();
    let (first, last): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|file| file.ends_with("seg-000000000000.json"));
    assert_eq!(first.len(), 1);
    assert_eq!(kept.run("verify", &last, &[]).await, 2, "the first segment was removed");
    assert_eq!(kept.run("verify", &last, &["--archive", &to]).await, 0);
    assert_eq!(kept.run("prove", &last, &["--archive", &to, "--index", "1"]).await, 0);
    assert_eq!(kept.run("export", &last, &["--to", &to]).await, 0);
    assert_eq!(kept.run("verify", &export, &[]).await, 0);
    assert_eq!(kept.run("export", &last, &["--to", &to]).await, 0, "nothing new is nothing wrong");
    let envelopes = std::fs::read_to_string(Path::new(&to).join("entries.jsonl")).unwrap();
    assert_eq!(envelopes.lines().count(), 305);
    assert!(
        !Path::new(&to).join("tile/0/000.p").exists(),
        "only the newest checkpoint's partial tiles are kept"
    );
    let stranger = Kept::new("export-stranger").await;
    stranger.ledger.note(Note { topic: "paused".into(), ..Note::default() }, NOW).await.unwrap();
    stranger.grow(400).await;
    assert_eq!(kept.run("export", &stranger.save(), &["--to", &to]).await, 1, "another ledger");
    let bundle = Path::new(&to).join("tile/entries/000");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[900] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    assert_eq!(kept.run("verify", &export, &[]).await, 1);
    std::fs::remove_file(&bundle).unwrap();
    assert_eq!(kept.run("verify", &export, &[]).await, 1);
    assert_eq!(
        kept.run("export", &last, &["--to", &kept.path("")]).await,
        USAGE,
        "a folder with other files"
    );
}

#[tokio::test]
async fn a_witness_cosigns_what_continues_and_nothing_else() {
    let kept = Kept::new("witness").await;
    let (key, state) = (kept.path("w.pem"), kept.path("seen"));
    assert_eq!(exit(&["keygen", "--witness", "--name", "auditor/w1", "--out", &key]).await, 0);
    let args = ["--name", "auditor/w1", "--signing-key", &key, "--state", &state];
    assert_eq!(kept.run("witness", &kept.save(), &args).await, 0);
    let first = std::fs::read_to_string(&state).unwrap();
    kept.grow(2).await;
    assert_eq!(kept.run("witness", &kept.save(), &args).await, 0);
    assert_ne!(std::fs::read_to_string(&state).unwrap(), first);
    let witness = Signer::from_file("auditor/w1", Path::new(&key)).unwrap().into_witness().unwrap();
    let vkey = witness.verifier().to_string();
    let all = kept.save();
    assert_eq!(kept.run("verify", &all, &["--since", &state, "--witness", &vkey]).await, 0);
    let other = Signer::from_seed("auditor/w1", &[9; 32]).unwrap().into_witness().unwrap();
    let other = other.verifier().to_string();
    assert_eq!(kept.run("verify", &all, &["--since", &state, "--witness", &other]).await, 1);
    // The same key signs another history of the same length: the witness has seen the first.
    let forked = Kept::new("witness-fork").await;
    forked.grow(1).await;
    forked
        .ledger
        .note(Note { topic: "paused".into(), message: "another".into(), ..Note::default() }, NOW)
        .await
        .unwrap();
    assert_eq!(kept.run("verify", &forked.save(), &[]).await, 0, "by itself it is good");
    assert_eq!(kept.run("witness", &forked.save(), &args).await, 1);
    assert_eq!(kept.run("verify", &forked.save(), &["--since", &state]).await, 1);
    // A key is no witness by being a file.
    assert_eq!(
        kept.run("witness", &all, &["--name", "auditor/w1", "--signing-key", &state, "--state", &key]).await,
        USAGE
    );
}

#[test]
fn a_source_is_required() {
    assert!(Cli::try_parse_from(["ledger", "verify", "a.json"]).is_err());
    assert!(Cli::try_parse_from(["ledger", "verify", "--key", "k", "--cluster", "a.json"]).is_err());
    assert!(Cli::try_parse_from(["ledger", "keygen", "--name", "a"]).is_err());
}
