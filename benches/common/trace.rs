//! Requests of each minute, one column a service.

use std::path::Path;

/// One list of requests a minute for each service of a CSV file: a header, then the minute and a number a service.
pub fn read(path: &Path) -> anyhow::Result<Vec<Vec<u32>>> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("{name}: {e}"))?;
    let mut services: Vec<Vec<u32>> = Vec::new();
    for (i, line) in text.lines().enumerate().skip(1) {
        for (k, number) in line.split(',').skip(1).enumerate() {
            let number: f64 = number
                .trim()
                .parse()
                .map_err(|_| anyhow::anyhow!("{name}, line {}: {number:?} is no number", i + 1))?;
            if services.len() <= k {
                services.push(Vec::new());
            }
            services[k].push(number.round() as u32);
        }
    }
    anyhow::ensure!(!services.is_empty(), "{name}: no services");
    Ok(services)
}

/// Names and traces of every CSV file of a folder, in the order of their names.
pub fn days(folder: &Path) -> anyhow::Result<Vec<(String, Vec<Vec<u32>>)>> {
    let entries = std::fs::read_dir(folder).map_err(|e| anyhow::anyhow!("{}: {e}", folder.display()))?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "csv"))
        .collect();
    files.sort();
    let named = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    files.iter().map(|path| Ok((named(path), read(path)?))).collect()
}
