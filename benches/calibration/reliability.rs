//! Stated probabilities against what came true.

/// One statement: the probability, and whether the event came.
pub type Statement = (f64, bool);

/// One bin of the diagram.
pub struct Bin {
    pub stated: f64,
    pub found: f64,
    pub count: usize,
}

/// Ten bins of equal width; empty ones are left out.
pub fn bins(all: &[Statement]) -> Vec<Bin> {
    let place = |p: f64| ((p * 10.0) as usize).min(9);
    (0..10)
        .filter_map(|i| {
            let own: Vec<&Statement> = all.iter().filter(|(p, _)| place(*p) == i).collect();
            let n = own.len() as f64;
            (!own.is_empty()).then(|| Bin {
                stated: own.iter().map(|(p, _)| p).sum::<f64>() / n,
                found: own.iter().filter(|(_, came)| *came).count() as f64 / n,
                count: own.len(),
            })
        })
        .collect()
}

/// Expected calibration error: mean distance of stated and found, weighted by the bins' counts.
pub fn ece(all: &[Statement]) -> f64 {
    let n = all.len().max(1) as f64;
    bins(all).iter().map(|bin| bin.count as f64 / n * (bin.stated - bin.found).abs()).sum()
}

/// Of the statements of at least `p`, the share that came true.
pub fn right_above(all: &[Statement], p: f64) -> Option<f64> {
    let sure: Vec<_> = all.iter().filter(|(stated, _)| *stated >= p).collect();
    let came = sure.iter().filter(|(_, came)| *came).count() as f64;
    (!sure.is_empty()).then(|| came / sure.len() as f64)
}

/// Sum of what was stated, sum of what was found, count.
type Pool = (f64, f64, f64);

/// Least statements behind a knot, and the most knots of a table: fewer would follow the noise.
const LEAST: f64 = 40.0;
const KNOTS: f64 = 20.0;

/// Isotonic regression by pooling adjacent violators, its smallest pools joined: knots (stated, found), both increasing,
/// rounded to what the data can carry. What is stated with 0 stays 0, however the least probable came out: a hopeless count
/// must not look like one of those.
pub fn isotonic(all: &[Statement]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<Statement> = all.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let join = |a: Pool, b: Pool| (a.0 + b.0, a.1 + b.1, a.2 + b.2);
    let mut pools: Vec<Pool> = Vec::new();
    for (p, came) in sorted {
        pools.push((p, f64::from(u8::from(came)), 1.0));
        while let [.., a, b] = pools.as_slice() {
            if a.1 / a.2 < b.1 / b.2 {
                break;
            }
            let joined = join(*a, *b);
            pools.truncate(pools.len() - 2);
            pools.push(joined);
        }
    }
    let least = LEAST.max(all.len() as f64 / KNOTS);
    let mut large: Vec<Pool> = Vec::new();
    for pool in pools {
        match large.last_mut() {
            Some(last) if last.2 < least => *last = join(*last, pool),
            _ => large.push(pool),
        }
    }
    if let [.., a, b] = large.as_slice()
        && b.2 < least
    {
        let joined = join(*a, *b);
        large.truncate(large.len() - 2);
        large.push(joined);
    }
    let round = |value: f64, digits: f64| (value * digits).round() / digits;
    let mut knots: Vec<(f64, f64)> = vec![(0.0, 0.0)];
    for (p, found, n) in large {
        let knot = (round(p / n, 1e6), round(found / n, 1e3));
        // Statements that are all but certain differ in digits that nobody means.
        match knots.last_mut() {
            Some(last) if knot.0 <= last.0 => last.1 = last.1.min(knot.1),
            _ => knots.push(knot),
        }
    }
    knots
}

/// A probability on the line through the knots, flat beyond them.
pub fn mapped(knots: &[(f64, f64)], p: f64) -> f64 {
    let after = knots.partition_point(|(x, _)| *x < p);
    match (after.checked_sub(1).and_then(|i| knots.get(i)), knots.get(after)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (p - x0) / (x1 - x0).max(1e-12),
        (Some((_, y)), None) | (None, Some((_, y))) => *y,
        (None, None) => p,
    }
}
