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

/// Statements next to each other that came true alike: from one place of the sorted ones to another, and how many came.
#[derive(Clone, Copy)]
struct Pool {
    from: usize,
    to: usize,
    came: f64,
}

impl Pool {
    fn count(&self) -> f64 {
        (self.to - self.from) as f64
    }

    fn share(&self) -> f64 {
        self.came / self.count()
    }

    fn join(&self, after: &Self) -> Self {
        Self { from: self.from, to: after.to, came: self.came + after.came }
    }
}

/// Least statements behind a pool, and the most pools of a table: fewer would follow the noise.
const LEAST: f64 = 40.0;
const POOLS: f64 = 20.0;

/// Isotonic regression by pooling adjacent violators, its smallest pools joined: knots (stated, found), both
/// increasing, rounded to what the data can carry. What is stated with 0 stays 0, however the least probable came out: a
/// hopeless count must not look like one of those.
pub fn isotonic(all: &[Statement]) -> Vec<(f64, f64)> {
    let mut sorted: Vec<Statement> = all.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut pools: Vec<Pool> = Vec::new();
    for (i, (_, came)) in sorted.iter().enumerate() {
        pools.push(Pool { from: i, to: i + 1, came: f64::from(u8::from(*came)) });
        while let [.., a, b] = pools.as_slice() {
            if a.share() < b.share() {
                break;
            }
            let joined = a.join(b);
            pools.truncate(pools.len() - 2);
            pools.push(joined);
        }
    }
    let least = LEAST.max(all.len() as f64 / POOLS);
    let mut large: Vec<Pool> = Vec::new();
    for pool in pools {
        match large.last_mut() {
            Some(last) if last.count() < least => *last = last.join(&pool),
            _ => large.push(pool),
        }
    }
    if let [.., a, b] = large.as_slice()
        && b.count() < least
    {
        let joined = a.join(b);
        large.truncate(large.len() - 2);
        large.push(joined);
    }
    let round = |value: f64, digits: f64| (value * digits).round() / digits;
    let mut knots: Vec<(f64, f64)> = vec![(0.0, 0.0)];
    let own = |pool: &Pool| &sorted[pool.from..pool.to];
    let mean = |pool: &Pool| own(pool).iter().map(|(stated, _)| stated).sum::<f64>() / pool.count();
    // Nothing lies below the first one: on a line to 0 from its middle, half of it would read too low.
    let lowest = large.first().map(|pool| (own(pool)[own(pool).len() / 10].0, pool.share()));
    for (stated, found) in lowest.into_iter().chain(large.iter().map(|pool| (mean(pool), pool.share()))) {
        let knot = (round(stated, 1e6), round(found, 1e3));
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
