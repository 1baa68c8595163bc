//! Notes that others signed, read by us; and a note of ours, byte for byte as the format's own library signs it.

use matverse::ledger::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use matverse::ledger::keys::{Signer, VerifierKey};
use matverse::ledger::merkle::empty_root;
use matverse::ledger::text::unbase64;

/// The example of the signed-note format whose key is public.
const NOTE: &str = "\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
";
const NOTE_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

/// The example of C2SP tlog-checkpoint. Its key is not published: the form is what can be checked.
const CHECKPOINT: &str = "\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
";

/// An empty tree, signed with the seed 01…01 by an implementation that is not ours.
const FOREIGN: &str = "\
prod/main
42
47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=

— prod/main MZFOlIhfEF9mCqPwCGLaDD+ONgGBdktqkdjI2qCogcA1RwOX1BpmI6mfzTc/YyPjMocKpTqZb8s1QIVqh/JW6UtF1QU=
";
const FOREIGN_KEY: &str = "prod/main+31914e94+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c";

#[test]
fn the_example_note_holds_and_no_checkpoint_is_read_into_it() {
    let key = VerifierKey::parse(NOTE_KEY).unwrap();
    let (text, line) = NOTE.split_once("\n\n").unwrap();
    let blob = unbase64(line.trim_end().rsplit_once(' ').unwrap().1).unwrap();
    assert_eq!(&blob[..4], key.id());
    assert!(key.verifies(format!("{text}\n").as_bytes(), &blob[4..]));
    assert!(!key.verifies(text.as_bytes(), &blob[4..]), "the newline belongs to the text");
    assert_eq!(SignedCheckpoint::open(NOTE, &[key]).unwrap_err().kind(), "checkpoint_malformed");
}

#[test]
fn the_example_checkpoint_is_of_the_form_and_by_a_stranger() {
    let key = VerifierKey::parse(FOREIGN_KEY).unwrap();
    let found = match SignedCheckpoint::open(CHECKPOINT, &[key]) {
        Err(CheckpointError::OtherKey { found, .. }) => found,
        other => panic!("{other:?}"),
    };
    assert_eq!(found, "example.com/behind-the-sofa+033de0ae");
}

#[test]
fn a_foreign_note_is_read_and_ours_is_the_same_to_the_byte() {
    let key = VerifierKey::parse(FOREIGN_KEY).unwrap();
    let opened = SignedCheckpoint::open(FOREIGN, std::slice::from_ref(&key)).unwrap();
    let stated = Checkpoint { origin: "prod/main".into(), size: 42, root: empty_root() };
    assert_eq!(opened.checkpoint(), &stated);
    let signer = Signer::from_seed("prod/main", &[1; 32]).unwrap();
    assert_eq!(signer.verifier(), &key);
    assert_eq!(stated.sign(&signer).note(), FOREIGN);
}
