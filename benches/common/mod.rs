//! What the benchmarks of decision quality share: their arguments.

use std::path::PathBuf;

/// Arguments of a benchmark: `--data DIR`, `-o json`.
pub struct Arguments {
    /// Folder of the public data; `$MATVERSE_DATA`, else `../shared/data`.
    pub data: PathBuf,
    /// Answer in JSON instead of tables.
    pub json: bool,
}

impl Arguments {
    /// Reads the command line. Cargo adds `--bench`, which means nothing here.
    pub fn read() -> anyhow::Result<Self> {
        let default =
            std::env::var_os("MATVERSE_DATA").map_or_else(|| "../shared/data".into(), PathBuf::from);
        let mut arguments = Self { data: default, json: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                // What one benchmark alone understands, it looks for itself.
                "--bench" | "--fit" => {}
                "--data" => arguments.data = words.next().map(PathBuf::from).unwrap_or_default(),
                "-o" | "--output" => arguments.json = words.next().as_deref() == Some("json"),
                other => anyhow::bail!("{other}: not understood; --data DIR, -o json"),
            }
        }
        anyhow::ensure!(arguments.data.is_dir(), "{}: no such folder; --data DIR", arguments.data.display());
        Ok(arguments)
    }
}
