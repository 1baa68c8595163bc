//! The filter against oracles that share no code with it: a dense solution of the whole problem, and the chi-squared
//! bands that a filter which knows its noises must keep.

use nalgebra::{DMatrix, DVector, Vector2};

use super::kalman::{Motion, State};
use super::sequential::tests::Dice;

/// Steps of 0.2 to 60 s.
fn gaps(dice: &mut Dice, n: usize) -> Vec<f64> {
    (0..n).map(|_| 0.2 * libm::pow(300.0, dice.uniform())).collect()
}

/// Mean and covariance of the last state given all samples, from the joint normal of everything at once.
fn dense(gaps: &[f64], samples: &[f64], start: &State, noises: (f64, f64)) -> (DVector<f64>, DMatrix<f64>) {
    let (n, (process, measurement)) = (samples.len(), noises);
    // Covariance of all states: Cov(xᵢ, xⱼ) = Cov(xᵢ)·F(tᵢ→tⱼ)ᵀ for i ≤ j, with Cov(xᵢ) added up from its sources.
    let mut marginal = vec![DMatrix::from_row_slice(2, 2, &[start.p[(0, 0)], 0.0, 0.0, start.p[(1, 1)]])];
    let over = |dt: f64| DMatrix::from_row_slice(2, 2, &[1.0, dt, 0.0, 1.0]);
    for dt in &gaps[1..] {
        let noise =
            DMatrix::from_row_slice(2, 2, &[dt.powi(3) / 3.0, dt * dt / 2.0, dt * dt / 2.0, *dt]) * process;
        let before = marginal.last().unwrap();
        marginal.push(over(*dt) * before * over(*dt).transpose() + noise);
    }
    let time: Vec<f64> = gaps
        .iter()
        .enumerate()
        .scan(0.0, |t, (i, dt)| {
            *t += if i == 0 { 0.0 } else { *dt };
            Some(*t)
        })
        .collect();
    let cross = |i: usize, j: usize| {
        let (first, last) = (i.min(j), i.max(j));
        let c = &marginal[first] * over(time[last] - time[first]).transpose();
        if i <= j { c } else { c.transpose() }
    };
    let seen = DMatrix::from_fn(n, n, |i, j| cross(i, j)[(0, 0)] + if i == j { measurement } else { 0.0 });
    let to_last = DMatrix::from_fn(2, n, |k, i| cross(n - 1, i)[(k, 0)]);
    let mean = DVector::from_fn(n, |i, _| samples[i] - start.x[0]);
    let weights = seen.cholesky().expect("positive definite").solve(&to_last.transpose());
    let state = DVector::from_vec(vec![start.x[0], 0.0]) + weights.transpose() * mean;
    let covariance = &marginal[n - 1] - &to_last * weights;
    (state, covariance)
}

#[test]
fn irregular_samples_give_what_the_dense_solution_gives() {
    for seed in 0..20 {
        let mut dice = Dice(seed * 71 + 3);
        let gaps = gaps(&mut dice, 40);
        let samples: Vec<f64> = (0..40).map(|i| 5.0 + 0.3 * f64::from(i) + dice.normal()).collect();
        let (q, r) = (0.003, 0.8);
        let start = State::new(4.0, 9.0, 0.5);
        let mut state = start;
        for (i, (dt, sample)) in gaps.iter().zip(&samples).enumerate() {
            let predicted = if i == 0 { state } else { state.predict(*dt, Motion::Trend, q) };
            let y = predicted.innovation(*sample, r);
            state = predicted.update(&y, y.residual, r);
        }
        let (mean, covariance) = dense(&gaps, &samples, &start, (q, r));
        for k in 0..2 {
            assert!((state.x[k] - mean[k]).abs() < 1e-9 * mean.norm(), "{seed}: {} for {mean}", state.x);
            for l in 0..2 {
                let scale = (covariance[(k, k)] * covariance[(l, l)]).sqrt();
                assert!((state.p[(k, l)] - covariance[(k, l)]).abs() < 1e-8 * scale, "{seed}: P");
            }
        }
    }
}

/// Sums over 50 runs of NEES (2 degrees of freedom a run) and NIS (1) at each of 500 steps.
fn consistency(seed: u64) -> Vec<(f64, f64)> {
    let (q, r): (f64, f64) = (0.02, 1.0);
    let mut sums = vec![(0.0, 0.0); 500];
    for run in 0..50 {
        let mut dice = Dice((50 * seed + run) * 104_729 + 11);
        let start = State::new(0.0, 4.0, 0.25);
        let mut truth = Vector2::new(2.0 * dice.normal(), 0.5 * dice.normal());
        let mut state = start;
        for (step, sum) in sums.iter_mut().enumerate() {
            let dt = 0.5 + dice.uniform();
            if step > 0 {
                // w with covariance q·[[dt³/3, dt²/2],[dt²/2, dt]] from its Cholesky factor.
                let (a, b) = (dice.normal(), dice.normal());
                let w1 = (q * dt).sqrt() * a;
                let w0 = w1 * dt / 2.0 + (q * dt.powi(3) / 12.0).sqrt() * b;
                truth = Vector2::new(truth[0] + dt * truth[1] + w0, truth[1] + w1);
                state = state.predict(dt, Motion::Trend, q);
            }
            let y = state.innovation(truth[0] + r.sqrt() * dice.normal(), r);
            state = state.update(&y, y.residual, r);
            let error = truth - state.x;
            sum.0 += error.dot(&state.p.try_inverse().unwrap().column(0)) * error[0]
                + error.dot(&state.p.try_inverse().unwrap().column(1)) * error[1];
            sum.1 += y.nis();
        }
    }
    sums
}

#[test]
fn errors_and_innovations_of_fifty_runs_keep_their_bands() {
    // 95 % bands of χ² with 100 and 50 degrees of freedom (tables).
    let inside = |value: f64, (low, high): (f64, f64)| f64::from(u8::from((low..=high).contains(&value)));
    // Errors last, so the share of one set of fifty runs wanders by a few points; ten sets say what it is.
    let sums: Vec<(f64, f64)> = (0..10).flat_map(consistency).collect();
    let share = |of: &dyn Fn(&(f64, f64)) -> f64| sums.iter().map(of).sum::<f64>() / sums.len() as f64;
    let nees = share(&|(nees, _)| inside(*nees, (74.222, 129.561)));
    let nis = share(&|(_, nis)| inside(*nis, (32.357, 71.420)));
    assert!(nis >= 0.945, "NIS {nis}");
    assert!(nees >= 0.94, "NEES {nees}");
    let total = |of: &dyn Fn(&(f64, f64)) -> f64| share(of) / 50.0;
    assert!((total(&|s| s.0) - 2.0).abs() < 0.06 && (total(&|s| s.1) - 1.0).abs() < 0.02, "means");
    println!("inside: NEES {nees}, NIS {nis}");
}
