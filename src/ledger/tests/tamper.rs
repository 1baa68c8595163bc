//! What somebody who holds the store, or even the key, could put there: each is found, and nothing ends the search.

use std::collections::BTreeMap;

use super::fixture::*;
use crate::ledger::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::ledger::keys::Signer;
use crate::ledger::memory::MemoryStore;
use crate::ledger::merkle::{Frontier, empty_root, leaf_hash};
use crate::ledger::statement::{MAX_ENTRY, Note, PAYLOAD_TYPE, Parts};
use crate::ledger::tail::lines_of;
use crate::ledger::text;
use crate::ledger::verify::{Report, Request, Saved, Signatures, Verdict, read, verify};

fn note(message: &str) -> Note {
    Note { topic: "paused".into(), message: message.into(), ..Note::default() }
}

/// The entries of a ledger with two acts and a note, all in its tail.
async fn entries() -> Vec<String> {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, settings(), 0).await.unwrap();
    act(&ledger, "web", 3, 5, 10).await;
    act(&ledger, "api", 3, 5, 20).await;
    ledger.note(note("by ana"), at(30)).await.unwrap();
    let tail = store.objects().into_iter().find(|object| object.name == "tail").unwrap();
    lines_of(&tail.data["entries"]).unwrap().into_iter().map(str::to_owned).collect()
}

/// What the holder of the real key could store: these lines as the whole ledger, under a checkpoint that holds.
fn signed(lines: &[String]) -> Request {
    let mut tree = Frontier::default();
    for line in lines {
        tree.append(leaf_hash(line.as_bytes()));
    }
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size: tree.size(), root: tree.root() };
    let data = [
        ("checkpoint", checkpoint.sign(&signer()).note().to_owned()),
        ("entries", lines.iter().map(|line| line.clone() + "\n").collect()),
        ("epoch", "1".to_owned()),
        ("frontier", String::new()),
        ("sealed", "0".to_owned()),
        ("size", lines.len().to_string()),
    ];
    let saved = |name: &str, immutable, data: &[(&str, String)]| Saved {
        name: name.to_owned(),
        namespace: None,
        immutable,
        data: data.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
    };
    let founded = [("key", signer().verifier().to_string())];
    let objects = vec![saved("tail", false, &data), saved("founded", true, &founded)];
    Request { objects, keys: keys(), ..Request::default() }
}

fn checkpoint(request: &Request) -> String {
    request.objects[0].data["checkpoint"].clone()
}

/// An entry line around any text, signed by the real key.
fn line(statement: &str) -> String {
    let mut message = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), statement.len());
    message.push_str(statement);
    let (id, sig) = (signer().verifier().id(), signer().sign(message.as_bytes()));
    format!(
        "{{\"statement\":{statement},\"keyid\":\"{}\",\"sig\":\"{}\"}}",
        text::hex(&id),
        text::base64(&sig)
    )
}

/// Tampered, and at this entry first of all.
fn named(report: &Report, index: u64, context: &str) {
    assert_eq!(report.verdict, Verdict::Tampered, "{context}");
    assert_eq!(report.findings[0].index, Some(index), "{context}: {:?}", report.findings);
}

#[tokio::test]
async fn a_last_entry_that_was_dropped_is_named() {
    let lines = entries().await;
    let (last, rest) = lines.split_last().unwrap();
    let index = rest.len() as u64;
    let good = signed(&lines);
    assert_eq!(verify(&good).verdict, Verdict::Good, "{:?}", verify(&good).findings);
    let mut short = good.clone();
    let data = &mut short.objects[0].data;
    let kept = data["entries"].strip_suffix(&format!("{last}\n")).unwrap().to_owned();
    data.insert("entries".into(), kept);
    named(&verify(&short), index, "dropped");
    short.objects[0].data.insert("size".into(), index.to_string());
    named(&verify(&short), index, "dropped, and the size made to match");
    let swapped = {
        let mut lines = lines.clone();
        lines.swap(rest.len() - 2, rest.len() - 1);
        lines
    };
    named(&verify(&signed(&swapped)), index - 2, "swapped by the holder of the key");
}

#[tokio::test]
async fn what_the_real_key_signs_anew_is_caught_by_an_older_checkpoint() {
    let lines = entries().await;
    let good = signed(&lines);
    let since = |request: Request| verify(&Request { since: Some(checkpoint(&good)), ..request });
    // The acts stay whole: only the note at the end is gone, and nothing in what is left shows it.
    let short = &lines[..lines.len() - 1];
    assert_eq!(verify(&signed(short)).verdict, Verdict::Good);
    let report = since(signed(short));
    assert_eq!((report.verdict, report.since), (Verdict::Incomplete, "newer than the ledger"));
    // Another note in its place, so that the sizes are the same again; then one more.
    let parts = Parts::of(lines.last().unwrap()).unwrap();
    let mut other = [short, &[line(&parts.statement.replace("by ana", "by bob"))]].concat();
    for _ in 0..2 {
        let forked = signed(&other);
        assert_eq!(verify(&forked).verdict, Verdict::Good, "{:?}", verify(&forked).findings);
        let report = since(forked);
        assert_eq!((report.verdict, report.since), (Verdict::Tampered, "compared"));
        assert_eq!(report.findings[0].at, "older checkpoint");
        let index = format!("\"index\":{}", other.len());
        let last = parts.statement.replace(&format!("\"index\":{}", other.len() - 1), &index);
        other.push(line(&last));
    }
}

#[tokio::test]
async fn an_older_tail_beside_newer_segments_is_caught() {
    let store = MemoryStore::default();
    let (ledger, _) = open(&store, small(2600), 0).await.unwrap();
    ledger.note(note("one"), at(1)).await.unwrap();
    let older = store.objects().into_iter().find(|object| object.name == "tail").unwrap();
    act(&ledger, "web", 3, 5, 10).await;
    assert!(store.objects().iter().any(|object| object.name == "seg-000000000000"));
    assert_eq!(audit(&store).verdict, Verdict::Good);
    store.tamper("tail", |tail| tail.data = older.data);
    let report = audit(&store);
    assert_eq!(report.verdict, Verdict::Tampered, "{:?}", report.findings);
    assert!(report.findings.iter().any(|finding| finding.at == "tail"), "{:?}", report.findings);
}

/// A note over any text, with signature lines made by `sign`.
fn note_over(text: &str, lines: &[(&str, [u8; 4], [u8; 64])]) -> String {
    let line = |(name, id, signature): &(&str, [u8; 4], [u8; 64])| {
        format!("— {name} {}\n", text::base64(&[&id[..], signature].concat()))
    };
    format!("{text}\n{}", lines.iter().map(line).collect::<String>())
}

fn refusal(note: &str) -> &'static str {
    SignedCheckpoint::open(note, &keys()).map_or_else(|error| error.kind(), |_| "opens")
}

/// The real key signs each of these texts, so that nothing but the form speaks against them.
#[test]
fn a_text_that_is_no_checkpoint_is_refused_though_signed() {
    let root = text::base64(&empty_root());
    let signer = signer();
    let by_us =
        |text: &str| note_over(text, &[(ORIGIN, signer.verifier().id(), signer.sign(text.as_bytes()))]);
    let good = format!("{ORIGIN}\n7\n{root}\n");
    assert_eq!(refusal(&by_us(&good)), "opens");
    assert_eq!(refusal(&by_us(&format!("{good}extension\n"))), "opens");
    let sized = |size: &str| format!("{ORIGIN}\n{size}\n{root}\n");
    let rooted = |root: &str| format!("{ORIGIN}\n7\n{root}\n");
    assert_eq!(refusal(&by_us(&sized("18446744073709551615"))), "opens");
    for bad in [
        sized("007"),
        sized("18446744073709551616"),
        sized("-1"),
        sized("+7"),
        sized("7 "),
        sized("0x7"),
        sized("٧"),
        sized(""),
        rooted(&text::base64(&[0; 31])),
        rooted(&text::base64(&[0; 33])),
        rooted(root.trim_end_matches('=')),
        rooted(&root.replace('+', "-").replace('/', "_")),
        rooted(&root.replace("FU=", "FV=")),
        rooted(""),
        good.replace('\n', "\r\n"),
        good.replace(ORIGIN, ""),
        good.replace(ORIGIN, "prod main"),
        good.replace(ORIGIN, "prod+main"),
        good.replace(ORIGIN, "prod\u{2003}main"),
        good.replace(ORIGIN, "prod\tmain"),
        format!("{good}a\u{1}b\n"),
        format!("{good}a\u{0}b\n"),
        format!("{good}a\u{7f}b\n"),
        format!("{good}\nafter an empty line\n"),
        format!("{good}{}", "x\n".repeat(17)),
        format!("{good}{}\n", "x".repeat(16 * 1024)),
        format!("{ORIGIN}\n7\n"),
        good.trim_end().to_owned(),
    ] {
        assert_eq!(refusal(&by_us(&bad)), "checkpoint_malformed", "{bad:?}");
    }
}

#[test]
fn signature_lines_that_are_not_ours_or_not_whole_do_not_count() {
    let good = format!("{ORIGIN}\n7\n{}\n", text::base64(&empty_root()));
    let (signer, other) = (signer(), Signer::from_seed(ORIGIN, &[2; 32]).unwrap());
    let (ours, theirs) = (signer.verifier().id(), other.verifier().id());
    let (signature, foreign) = (signer.sign(good.as_bytes()), other.sign(good.as_bytes()));
    let mut spelled_again = signature;
    spelled_again[63] |= 0xe0;
    for (lines, expected) in [
        (vec![(ORIGIN, ours, signature)], "opens"),
        (vec![(ORIGIN, ours, signature); 16], "opens"),
        (vec![(ORIGIN, ours, signature); 17], "checkpoint_malformed"),
        (vec![(ORIGIN, theirs, foreign), (ORIGIN, ours, signature)], "opens"),
        // The same key under another name, and another key under our name: strangers, both.
        (vec![("other", ours, signature)], "checkpoint_other_key"),
        (vec![(ORIGIN, theirs, foreign)], "checkpoint_other_key"),
        (vec![(ORIGIN, theirs, signature)], "checkpoint_other_key"),
        // An id is 32 bits, so a key with ours can be made; its signature still is not ours.
        (vec![(ORIGIN, ours, foreign)], "checkpoint_signature"),
        (vec![(ORIGIN, ours, signature), (ORIGIN, ours, foreign)], "checkpoint_signature"),
        (vec![(ORIGIN, ours, spelled_again)], "checkpoint_signature"),
        (vec![(ORIGIN, ours, [0; 64])], "checkpoint_signature"),
        (vec![("", ours, signature)], "checkpoint_malformed"),
        (vec![("pr od", ours, signature)], "checkpoint_malformed"),
        (vec![], "checkpoint_malformed"),
    ] {
        let note = note_over(&good, &lines);
        assert_eq!(refusal(&note), expected, "{note}");
        assert_ne!(refusal(note.strip_suffix('\n').unwrap_or("")), "opens", "no newline at the end");
        assert_ne!(refusal(&note.replace('\n', "\r\n")), "opens");
        assert_ne!(refusal(&format!("{note}\n")), "opens");
    }
    for blob in ["", "====", "AAAA", "AAAAAA==", "not base64!"] {
        let note = format!("{good}\n— {ORIGIN} {blob}\n");
        assert_eq!(refusal(&note), "checkpoint_malformed", "{note}");
    }
    // A signature of ours that is too short or too long names our key, so it counts as wrong.
    for cut in [&signature[..63], &[&signature[..], &[0]].concat()] {
        let note = format!("{good}\n— {ORIGIN} {}\n", text::base64(&[&ours[..], cut].concat()));
        assert_eq!(refusal(&note), "checkpoint_signature", "{note}");
    }
}

/// Of two values under one key some readers take the first and some the last: such an entry says two things.
#[tokio::test]
async fn an_entry_that_says_two_things_is_named() {
    let lines = entries().await;
    let index = lines.len() - 1;
    let statement = Parts::of(&lines[index]).unwrap().statement.to_owned();
    let signed_again = |statement: &str| {
        let mut lines = lines.clone();
        lines[index] = line(statement);
        lines
    };
    assert_eq!(verify(&signed(&signed_again(&statement))).verdict, Verdict::Good);
    for (once, twice) in [
        ("\"message\":", "\"message\":\"by bob\",\"message\":"),
        ("\"message\":", "\"m\\u0065ssage\":\"by bob\",\"message\":"),
        ("\"index\":", "\"index\":1,\"index\":"),
        ("\"digest\":", "\"digest\":{\"sha256\":\"\"},\"digest\":"),
        ("\"sha256\":", "\"sha256\":\"\",\"sha256\":"),
        ("\"predicate\":", "\"predicate\":{},\"predicate\":"),
        ("\"topic\":", "\"more\":{\"a\":1,\"b\":2,\"a\":3},\"topic\":"),
    ] {
        let changed = statement.replacen(once, twice, 1);
        assert_ne!(changed, statement, "{once}");
        for signatures in [Signatures::All, Signatures::Checkpoint] {
            let report = verify(&Request { signatures, ..signed(&signed_again(&changed)) });
            named(&report, index as u64, twice);
        }
    }
}

#[tokio::test]
async fn an_entry_nested_without_end_or_no_statement_at_all_is_named() {
    let lines = entries().await;
    let index = lines.len() - 1;
    let statement = Parts::of(&lines[index]).unwrap().statement.to_owned();
    let deep = |open: &str, close: &str, levels: usize| {
        let more = format!("{{\"more\":{}0{},", open.repeat(levels), close.repeat(levels));
        statement.replacen('{', &more, 1)
    };
    for bad in [
        deep("[", "]", 200),
        deep("[", "]", 7_000),
        deep("{\"a\":", "}", 2_000),
        deep("[", "", 10_000),
        statement.replacen("\"recordedAt\":\"20", "\"recordedAt\":\"99999920", 1),
        statement.replacen("\"index\":", "\"index\":1e300,\"was\":", 1),
        statement.replacen("\"index\":", "\"index\":-1,\"was\":", 1),
        statement.replacen("\"index\":", "\"index\":18446744073709551616,\"was\":", 1),
        statement.replacen("Statement/v1", "Statement/v2", 1),
        statement.replacen("decision/v1", "decision/v2", 1),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        String::new(),
        "\"\\ud800\"".to_owned(),
    ] {
        assert_ne!(bad, statement);
        let mut lines = lines.clone();
        lines[index] = line(&bad);
        assert!(lines[index].len() <= MAX_ENTRY, "{}", lines[index].len());
        named(&verify(&signed(&lines)), index as u64, &format!("{bad:.60}"));
    }
    let mut lines = lines.clone();
    lines[index] = line(&format!("\"{}\"", "x".repeat(MAX_ENTRY)));
    named(&verify(&signed(&lines)), index as u64, "too long");
}

fn map(data: &str) -> String {
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"tail\"}},\"data\":{data}}}"
    )
}

#[test]
fn a_saved_file_that_says_two_things_is_refused() {
    read("saved", map("{\"size\":\"1\",\"sealed\":\"1\"}").as_bytes()).unwrap();
    for bad in [
        map("{\"size\":\"1\",\"size\":\"2\"}"),
        map("{\"size\":\"1\",\"s\\u0069ze\":\"2\"}"),
        map("{},\"data\":{}"),
        map("{},\"kind\":\"List\""),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tail}\ndata:\n  size: '1'\n  size: '2'\n"
            .to_owned(),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tail}\ndata: {}\ndata: {}\n".to_owned(),
    ] {
        let finding = read("saved", bad.as_bytes()).unwrap_err();
        assert!(finding.message.contains("cannot be read"), "{bad}: {finding:?}");
    }
}

#[test]
fn a_saved_file_nested_without_end_is_refused() {
    let json = |open: &str, close: &str| format!("{}0{}", open.repeat(10_000), close.repeat(10_000));
    let list = "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[";
    let block: String = (0..2_000).map(|level| " ".repeat(level) + "x:\n").collect();
    let laughs: Vec<String> = (1..30)
        .map(|n| format!("a{n}: &a{n} [*a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}]\n", m = n - 1))
        .collect();
    let laughs = laughs.concat();
    for bad in [
        json("[", "]"),
        json("{\"items\":[", "]}"),
        json(list, "]}"),
        json("{\"metadata\":", "}"),
        map(&json("[", "]")),
        map(&json("{\"a\":", "}")),
        format!("items: {}", json("[", "]")),
        format!("items: {}", json("{a: ", "}")),
        format!("data: {}", "- ".repeat(10_000)),
        block,
        format!("a0: &a0 [x]\n{laughs}"),
        "[".repeat(1_000_000),
        "{\"a\":".repeat(200_000),
    ] {
        read("saved", bad.as_bytes()).unwrap_err();
    }
}

#[test]
fn a_file_that_is_no_text_is_refused_as_such() {
    // Ten bytes of gzip's header, and what a megabyte of nothing becomes: it is never unpacked.
    let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xed, 0xc1, 1][..], &[0; 1000], &vec![0x80; 1_000_000]]
        .concat();
    for bad in [&gzip[..], &gzip[..2], &[0xff, 0xfe, b'{', 0, b'}', 0], &[0xef, 0xbb], &[0x80; 10]] {
        let finding = read("saved", bad).unwrap_err();
        assert!(finding.message.contains("not UTF-8"), "{finding:?}");
    }
    for bad in [vec![0; 100_000], b"{\"\0\":1}".to_vec(), b"\"text\"".to_vec(), vec![b'{'; 5]] {
        assert!(read("saved", &bad).is_err(), "{:?}", &bad[..5]);
    }
}

#[test]
fn a_file_of_many_documents_is_read_and_one_that_swells_is_not() {
    let document = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tail}\ndata: {size: '1'}\n---\n";
    assert_eq!(read("saved", document.repeat(2_000).as_bytes()).unwrap().len(), 2_000);
    let swelling = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: &a {}}}\ndata: {{{}}}\n",
        "x".repeat(10_000),
        (0..1_000).map(|n| format!("k{n}: *a")).collect::<Vec<_>>().join(", ")
    );
    read("saved", swelling.as_bytes()).unwrap_err();
}

/// Thousands of intents without an outcome, all by the real key, cost no more than their number deserves.
#[tokio::test]
async fn a_ledger_of_open_intents_alone_is_judged_in_linear_time() {
    let mut lines = entries().await;
    let at_index = |line: &str| line.contains("\"kind\":\"intent\"");
    let template = lines.iter().position(|line| at_index(line)).unwrap();
    let statement = Parts::of(&lines[template]).unwrap().statement.to_owned();
    let recorded = statement.split_once("\"recordedAt\":\"").unwrap().1.split_once('"').unwrap().0.to_owned();
    let last = Parts::of(lines.last().unwrap()).unwrap().read().unwrap().predicate.recorded_at;
    for _ in 0..3_000 {
        let index = lines.len();
        let statement = statement
            .replace(&format!("\"index\":{template},"), &format!("\"index\":{index},"))
            .replace(&recorded, &last.to_string())
            .replace("deployments/shop/web", &format!("deployments/shop/web-{index}"));
        lines.push(line(&statement));
    }
    let mut request = Request { signatures: Signatures::Checkpoint, ..signed(&lines) };
    request.now = Some(at(40));
    let report = verify(&request);
    assert_eq!(report.open, 3_000, "{:?}", report.findings.first());
}

#[test]
fn an_object_without_anything_is_no_ledger() {
    let empty = Saved { name: "tail".into(), data: BTreeMap::new(), ..Saved::default() };
    let report = verify(&Request { objects: vec![empty], keys: keys(), ..Request::default() });
    assert_eq!(report.verdict, Verdict::Tampered);
    let none = verify(&Request { keys: keys(), ..Request::default() });
    assert_eq!(none.verdict, Verdict::Incomplete);
}
