//! What the benchmarks that run many seeds share: their options, and what they say of the runs.

use std::str::FromStr;

/// What follows an option on the command line, or a default. Cargo's own and other words mean nothing here.
pub fn option<T: FromStr>(name: &str, default: T) -> T {
    let mut words = std::env::args().skip_while(|word| word != name).skip(1);
    words.next().map_or(default, |word| word.parse().ok().expect("a value of its kind"))
}

/// Mean over the seeds and its standard error.
pub fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}
