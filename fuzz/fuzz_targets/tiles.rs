//! An export as files: the note, and after it what every bundle holds. What is read and written again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use matverse::ledger::checkpoint::stated_size;
use matverse::ledger::tiles::{files, objects, read};

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == 1).unwrap_or(bytes.len());
    let (note, bundle) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    // A stated size is a promise that the files must keep: three of them are there, whatever it says.
    let mut bundles = 3;
    let file = |path: &str| match path {
        "checkpoint" => Some(note.to_vec()),
        _ => {
            bundles -= 1;
            (bundles >= 0).then(|| bundle.to_vec())
        }
    };
    let Ok((note, lines)) = read(file) else { return };
    assert_eq!(stated_size(&note), Some(lines.len() as u64));
    let written = files(&lines, 0);
    let again = read(|path| match path {
        "checkpoint" => Some(note.clone().into_bytes()),
        _ => written.get(path).cloned(),
    });
    assert_eq!(again, Ok((note.clone(), lines.clone())));
    let _ = objects(note, &lines);
});
