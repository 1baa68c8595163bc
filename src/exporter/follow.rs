//! A file of events that grows: lines are taken as they are finished, through rotation and truncation.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::event::LONGEST;

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;

/// Something about the file that people should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Another file took its place; the rest of the old one was read.
    Rotated,
    /// It became shorter; it is read from its beginning.
    Truncated,
    /// It is not there (yet).
    Missing,
}

/// Gets a line without its end, and when the file last changed. `Break` keeps the line for the next time.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8], Option<Timestamp>) -> ControlFlow<()>;

/// A place in a file that grows.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    file: Option<File>,
    /// Bytes taken from the file.
    read: u64,
    /// What is read and not yet handed on.
    buffer: Vec<u8>,
    /// Within a line that is too long, until its end.
    skipping: bool,
    missing: bool,
}

impl Follower {
    /// At the beginning of a file, which need not be there yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            read: 0,
            buffer: Vec::new(),
            skipping: false,
            missing: false,
        }
    }

    /// Hands every line on that is finished by now.
    ///
    /// # Errors
    /// What the system says; the next call tries again.
    pub fn poll(&mut self, sink: Sink, notes: &mut Vec<Note>) -> io::Result<()> {
        loop {
            if self.file.is_none() {
                match File::open(&self.path) {
                    Ok(file) if file.metadata()?.is_file() => self.begin(file),
                    Ok(_) => return Err(io::Error::other("is no regular file")),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        if !std::mem::replace(&mut self.missing, true) {
                            notes.push(Note::Missing);
                        }
                        return Ok(());
                    }
                    Err(error) => return Err(error),
                }
            }
            if self.rest(sink)?.is_break() {
                return Ok(());
            }
            let Some(file) = &mut self.file else { return Ok(()) };
            let here = file.metadata()?;
            match std::fs::metadata(&self.path) {
                Ok(there) if same(&here, &there) => {
                    if here.len() >= self.read {
                        return Ok(());
                    }
                    file.seek(SeekFrom::Start(0))?;
                    notes.push(Note::Truncated);
                    (self.read, self.skipping) = (0, false);
                    self.buffer.clear();
                }
                // What was written between our last look and the rotation, and then a last line without an end.
                Ok(_) => {
                    if self.rest(sink)?.is_break() || self.finish(sink).is_break() {
                        return Ok(());
                    }
                    notes.push(Note::Rotated);
                    self.file = None;
                }
                // Between the two steps of a rotation.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Hands all of the file on, its last line too where it has no end.
    ///
    /// # Errors
    /// What the system says.
    pub fn whole(&mut self, sink: Sink) -> io::Result<()> {
        self.begin(File::open(&self.path)?);
        if self.rest(sink)?.is_continue() {
            let _ = self.finish(sink);
        }
        Ok(())
    }

    fn begin(&mut self, file: File) {
        self.file = Some(file);
        (self.read, self.skipping, self.missing) = (0, false, false);
        self.buffer.clear();
    }

    /// Lines up to the present end of the file.
    fn rest(&mut self, sink: Sink) -> io::Result<ControlFlow<()>> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let Some(file) = &self.file else { return Ok(ControlFlow::Continue(())) };
            // Before the reading: what is added meanwhile counts as older than it is, never as younger.
            let changed = file.metadata()?.modified().ok().and_then(|at| Timestamp::try_from(at).ok());
            if self.lines(sink, changed).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let n = self.file.as_mut().map_or(Ok(0), |file| file.read(&mut chunk))?;
            if n == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            self.read += n as u64;
            self.buffer.extend_from_slice(&chunk[..n]);
        }
    }

    /// Finished lines of the buffer. One that grows beyond all bounds is handed on once, to be refused, and then
    /// passed over to its end.
    fn lines(&mut self, sink: Sink, changed: Option<Timestamp>) -> ControlFlow<()> {
        let mut done = 0;
        let mut flow = ControlFlow::Continue(());
        while let Some(end) = self.buffer[done..].iter().position(|byte| *byte == b'\n') {
            let line = &self.buffer[done..done + end];
            if !self.skipping {
                flow = hand(line, changed, sink);
                if flow.is_break() {
                    break;
                }
            }
            self.skipping = false;
            done += end + 1;
        }
        self.buffer.drain(..done);
        if flow.is_continue() && self.buffer.len() > LONGEST {
            if !self.skipping {
                flow = hand(&self.buffer, changed, sink);
                self.skipping = flow.is_continue();
            }
            if self.skipping {
                self.buffer.clear();
            }
        }
        flow
    }

    /// The line that has no end and will get none.
    fn finish(&mut self, sink: Sink) -> ControlFlow<()> {
        if self.skipping {
            return ControlFlow::Continue(());
        }
        let changed = self.file.as_ref().and_then(|file| file.metadata().ok()?.modified().ok());
        let flow = hand(&self.buffer, changed.and_then(|at| Timestamp::try_from(at).ok()), sink);
        if flow.is_continue() {
            self.buffer.clear();
        }
        flow
    }
}

/// Empty lines mean nothing.
fn hand(line: &[u8], changed: Option<Timestamp>, sink: Sink) -> ControlFlow<()> {
    if line.iter().all(u8::is_ascii_whitespace) { ControlFlow::Continue(()) } else { sink(line, changed) }
}

fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::*;

    struct Stage {
        path: PathBuf,
        follower: Follower,
    }

    impl Stage {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("matverse-follow-{name}-{}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Self { follower: Follower::new(&path), path }
        }

        fn write(&self, text: &str) {
            let mut file = OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn poll(&mut self) -> (Vec<String>, Vec<Note>) {
            let (mut lines, mut notes) = (Vec::new(), Vec::new());
            let mut sink = |line: &[u8], changed: Option<Timestamp>| {
                assert!(changed.is_some());
                lines.push(String::from_utf8_lossy(line).into_owned());
                ControlFlow::Continue(())
            };
            self.follower.poll(&mut sink, &mut notes).unwrap();
            (lines, notes)
        }
    }

    impl Drop for Stage {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    #[test]
    fn a_file_that_grows_line_by_line_and_half_lines() {
        let mut stage = Stage::new("grows");
        assert_eq!(stage.poll(), (vec![], vec![Note::Missing]));
        assert_eq!(stage.poll(), (vec![], vec![]), "said once");
        stage.write("one\ntwo\n\nthr");
        assert_eq!(stage.poll().0, ["one", "two"]);
        assert!(stage.poll().0.is_empty());
        stage.write("ee\n");
        assert_eq!(stage.poll().0, ["three"]);
    }

    #[test]
    fn rotation_loses_nothing() {
        let mut stage = Stage::new("rotates");
        stage.write("one\n");
        assert_eq!(stage.poll().0, ["one"]);
        stage.write("two\nlast without end");
        let old = stage.path.with_extension("1");
        std::fs::rename(&stage.path, &old).unwrap();
        assert_eq!(stage.poll(), (vec!["two".to_owned()], vec![]), "the new one is not there yet");
        stage.write("three\n");
        let (lines, notes) = stage.poll();
        assert_eq!(lines, ["last without end", "three"]);
        assert_eq!(notes, [Note::Rotated]);
        std::fs::remove_file(old).unwrap();
    }

    #[test]
    fn truncation_begins_anew() {
        let mut stage = Stage::new("truncates");
        stage.write("one\ntwo\nhal");
        assert_eq!(stage.poll().0.len(), 2);
        std::fs::write(&stage.path, "a\n").unwrap();
        assert_eq!(stage.poll(), (vec!["a".to_owned()], vec![Note::Truncated]));
        stage.write("b\n");
        assert_eq!(stage.poll().0, ["b"]);
    }

    #[test]
    fn a_line_without_end_takes_no_memory_without_end() {
        let mut stage = Stage::new("long");
        stage.write("one\n");
        let long = "x".repeat(300_000);
        stage.write(&long);
        let (lines, _) = stage.poll();
        assert_eq!((lines.len(), lines[0].as_str()), (2, "one"));
        assert!(lines[1].len() > LONGEST && lines[1].len() <= LONGEST + CHUNK);
        stage.write(&long);
        assert!(stage.poll().0.is_empty());
        assert!(stage.follower.buffer.len() <= LONGEST);
        stage.write("\ntwo\n");
        assert_eq!(stage.poll().0, ["two"]);
    }

    #[test]
    fn a_line_that_cannot_be_taken_now_is_kept() {
        let mut stage = Stage::new("kept");
        stage.write("one\ntwo\nthree\n");
        let mut seen = Vec::new();
        let mut sink = |line: &[u8], _: Option<Timestamp>| {
            seen.push(line.to_vec());
            if line == b"two" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        stage.follower.poll(&mut sink, &mut Vec::new()).unwrap();
        assert_eq!(seen, [&b"one"[..], b"two"]);
        assert_eq!(stage.poll().0, ["two", "three"]);
    }

    #[test]
    fn the_whole_of_a_file_has_its_last_line_too() {
        let mut stage = Stage::new("whole");
        stage.write("one\ntwo");
        let mut lines = 0;
        stage
            .follower
            .whole(&mut |_, _| {
                lines += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(lines, 2);
        assert!(Follower::new(Path::new("/nowhere/at/all")).whole(&mut |_, _| unreachable!()).is_err());
    }

    #[test]
    fn a_folder_is_an_error() {
        let mut follower = Follower::new(&std::env::temp_dir());
        assert!(follower.poll(&mut |_, _| unreachable!(), &mut Vec::new()).is_err());
    }
}
