//! The whole ledger, after everything that happened in the cluster.

use crate::audit::{key, ledger};
use crate::cluster::{present, run};

#[test]
fn an_export_satisfies_a_stranger_and_every_decision_is_made_again() {
    if !present() {
        return;
    }
    let folder = std::env::temp_dir().join(format!("matverse-export-{}", std::process::id()));
    let folder = folder.to_str().unwrap();
    let to = format!("{folder}/ledger");
    ledger(&["export", "--cluster", "--to", &to]).unwrap();
    ledger(&["verify", &to]).unwrap();
    // By code that is not ours.
    let auditor = format!("{}/e2e/auditor", env!("CARGO_MANIFEST_DIR"));
    let judged = run("go", &["-C", &auditor, "run", ".", "tiles", &to, "-vkey", &key()], None).unwrap();
    assert!(judged.contains("ok"), "{judged}");
    let (proof, entry) = (format!("{folder}/e.tlog-proof"), format!("{folder}/entry"));
    ledger(&["prove", &to, "--index", "2", "--out", &proof]).unwrap();
    let proven = ledger(&["verify", "--proof", &proof]).unwrap();
    std::fs::write(&entry, proven.lines().last().unwrap()).unwrap();
    run("go", &["-C", &auditor, "run", ".", "proof", &proof, "-vkey", &key(), "-entry", &entry], None)
        .unwrap();
    // Turns and steps of leagues alike come out of their recorded inputs.
    let replayed = run("matverse", &["replay", &to, "--key", &key()], None).unwrap();
    let first = replayed.lines().next().unwrap_or_default();
    let count = first.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap();
    assert!(count > 0 && first == format!("{count} decisions, {count} the same in every bit"), "{replayed}");
    eprintln!("{first}");
    std::fs::remove_dir_all(folder).unwrap();
}
