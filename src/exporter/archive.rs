//! The file of records: JSON lines, appended and never rewritten.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An open file of records.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    file: File,
    /// The file ends within a line: the process before was killed, or a write failed half-way.
    torn: bool,
}

impl Archive {
    /// Opens the file, or makes it; nobody but its owner may read it, for it holds what was asked and answered.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Self { path: path.to_owned(), file, torn: last != [b'\n'] })
    }

    /// Appends one line. After a torn one it begins on a line of its own, so that only the torn one is lost.
    ///
    /// # Errors
    /// In words, with the name of the file; the line does not count as kept.
    pub fn append(&mut self, line: &str) -> Result<(), String> {
        let begin = if self.torn { "\n" } else { "" };
        let text = format!("{begin}{line}\n");
        self.torn = true;
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(|e| format!("the record cannot be written to {}: {e}", self.path.display()))?;
        self.torn = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("matverse-archive-{name}-{}", std::process::id()))
    }

    #[test]
    fn lines_are_appended_to_what_is_there() {
        let path = path("append");
        for round in ["a", "b"] {
            let mut archive = Archive::open(&path).unwrap();
            archive.append(&format!("{round}1")).unwrap();
            archive.append(&format!("{round}2")).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a1\na2\nb1\nb2\n");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_torn_line_stays_alone() {
        let path = path("torn");
        std::fs::write(&path, "whole\nhal").unwrap();
        Archive::open(&path).unwrap().append("next").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole\nhal\nnext\n");
        std::fs::remove_file(path).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_said() {
        let why = Archive::open(Path::new("/dev/full")).unwrap().append("line").unwrap_err();
        assert!(why.contains("/dev/full") && why.contains("space"), "{why}");
    }

    #[test]
    fn a_folder_that_does_not_exist_is_said() {
        assert!(Archive::open(Path::new("/nowhere/at/all")).is_err());
    }
}
