//! What became of statements of confidence, as a correction of later ones: frozen tables.
//!
//! ```text
//!  stated probability ─► table of (policy version, model, action) ─► calibrated probability ─► floor of the mode
//! ```
//!
//! A table belongs to a model, because the two state the keeping of different targets (latency, cpu), and to an action,
//! because a count that is changed is not a count drawn by lot. A ScaleUp has two: once the target is missed, a
//! statement is right less often than before, and with one table for both the floors would hold those back that come in
//! time.
//!
//! The tables come from `cargo bench --bench calibration -- --fit`: isotonic regression (pooled adjacent violators) over
//! what the simulator made of the statements of the development half. They are part of a policy version and never change
//! within one, so that a recorded decision can be made again. Rollback and Retune stand as stated: no data shows how to
//! correct them.

use super::policy::Version;
use super::situation::Action;
use crate::orient::capacity::Capacity;

/// Points (stated, came true), increasing; flat beyond the ends. Without any, a statement stands as it is.
type Table = &'static [(f64, f64)];

/// The tables of one model.
struct Tables {
    noop: Table,
    down: Table,
    up: Table,
    /// ScaleUp where the target is missed already.
    up_late: Table,
}

/// The queue model, arrivals forecast by level and trend.
const QUEUE_TWO: Tables = Tables {
    noop: &[
        (0.0, 0.0),
        (0.326_56, 0.855),
        (0.830_58, 0.908),
        (0.978_594, 0.931),
        (0.996_583, 0.937),
        (0.999_372, 0.947),
        (0.999_945, 0.962),
        (0.999_997, 0.97),
        (1.0, 0.975),
    ],
    down: &[
        (0.0, 0.0),
        (0.124_284, 0.704),
        (0.520_589, 0.889),
        (0.855_616, 0.951),
        (0.990_206, 0.976),
        (0.999_517, 0.98),
        (0.999_97, 0.981),
    ],
    up: &[(0.0, 0.0), (0.870_977, 0.879), (0.999_982, 0.955), (1.0, 0.99)],
    up_late: &[
        (0.0, 0.0),
        (0.372_984, 0.596),
        (0.912_325, 0.69),
        (0.986_631, 0.742),
        (0.998_779, 0.768),
        (0.999_975, 0.861),
        (1.0, 0.883),
    ],
};

/// The queue model, arrivals forecast by their rhythm.
const QUEUE_THREE: Tables = Tables {
    noop: &[
        (0.0, 0.0),
        (0.244_842, 0.831),
        (0.639_066, 0.897),
        (0.841_439, 0.925),
        (0.954_793, 0.946),
        (0.985_552, 0.964),
        (0.995_646, 0.967),
        (0.999_271, 0.974),
        (0.999_779, 0.981),
        (0.999_954, 0.985),
        (0.999_997, 0.99),
        (1.0, 0.991),
    ],
    down: &[
        (0.0, 0.0),
        (0.077_902, 0.511),
        (0.433_76, 0.805),
        (0.789_131, 0.952),
        (0.982_154, 0.961),
        (0.999_821, 0.975),
    ],
    up: &[
        (0.0, 0.0),
        (0.782_322, 0.743),
        (0.990_666, 0.88),
        (0.998_259, 0.93),
        (0.999_907, 0.987),
        (1.0, 1.0),
    ],
    up_late: &[(0.0, 0.0), (0.393_209, 0.442), (0.961_449, 0.648), (0.999_517, 0.785)],
};

/// The utilisation model.
const UTILISATION: Tables = Tables {
    noop: &[
        (0.0, 0.0),
        (0.127_397, 0.386),
        (0.505_245, 0.636),
        (0.805_892, 0.796),
        (0.941_52, 0.87),
        (0.982_804, 0.913),
        (0.995_95, 0.947),
        (0.999_414, 0.963),
        (0.999_955, 0.973),
        (0.999_998, 0.98),
        (1.0, 0.982),
    ],
    down: &[
        (0.0, 0.0),
        (0.277_62, 0.264),
        (0.681_125, 0.687),
        (0.939_922, 0.875),
        (0.993_711, 0.926),
        (0.999_54, 0.937),
        (0.999_99, 0.947),
        (1.0, 0.983),
    ],
    up: &[(0.0, 0.0), (0.837_415, 0.994), (1.0, 1.0)],
    up_late: &[
        (0.0, 0.0),
        (0.028_41, 0.413),
        (0.358_016, 0.565),
        (0.794_814, 0.664),
        (0.965_055, 0.772),
        (0.997_156, 0.824),
        (0.999_97, 0.831),
    ],
};

/// The queue model, for counts that are held by what was regretted.
const QUEUE_FOUR: Tables = Tables {
    noop: &[
        (0.0, 0.0),
        (0.052_672, 0.84),
        (0.324_238, 0.84),
        (0.715_01, 0.905),
        (0.873_109, 0.926),
        (0.946_237, 0.942),
        (0.975_247, 0.956),
        (0.991_987, 0.964),
        (0.997_585, 0.969),
        (0.999_196, 0.978),
        (0.999_813, 0.983),
        (0.999_971, 0.986),
        (0.999_997, 0.99),
        (1.0, 0.993),
    ],
    down: &[
        (0.0, 0.0),
        (0.051_038, 0.443),
        (0.348_791, 0.803),
        (0.804_802, 0.926),
        (0.984_682, 0.975),
        (0.999_525, 0.983),
    ],
    up: &[
        (0.0, 0.0),
        (0.624_077, 0.742),
        (0.842_16, 0.742),
        (0.984_925, 0.829),
        (0.997_333, 0.906),
        (0.999_757, 0.949),
        (0.999_971, 0.963),
        (1.0, 0.98),
    ],
    up_late: &[
        (0.0, 0.0),
        (0.010_438, 0.306),
        (0.101_346, 0.306),
        (0.542_208, 0.511),
        (0.911_559, 0.589),
        (0.973_054, 0.673),
        (0.994_172, 0.681),
        (0.999_858, 0.805),
        (1.0, 0.879),
    ],
};

/// The utilisation model, the same.
const UTILISATION_FOUR: Tables = Tables {
    noop: &[
        (0.0, 0.0),
        (0.001_657, 0.397),
        (0.115_064, 0.397),
        (0.464_551, 0.605),
        (0.769_03, 0.767),
        (0.923_299, 0.854),
        (0.978_392, 0.906),
        (0.995_126, 0.941),
        (0.999_161, 0.957),
        (0.999_875, 0.971),
        (0.999_989, 0.975),
        (0.999_999, 0.98),
        (1.0, 0.984),
    ],
    down: &[
        (0.0, 0.0),
        (0.045_605, 0.246),
        (0.148_5, 0.246),
        (0.466_579, 0.463),
        (0.761_189, 0.639),
        (0.919_438, 0.776),
        (0.977_955, 0.85),
        (0.995_466, 0.902),
        (0.999_412, 0.954),
        (0.999_987, 0.958),
    ],
    up: &[(0.0, 0.0), (0.217_362, 0.991), (0.872_731, 0.991), (1.0, 1.0)],
    up_late: &[
        (0.0, 0.0),
        (0.000_23, 0.438),
        (0.032_378, 0.438),
        (0.389_063, 0.583),
        (0.656_625, 0.65),
        (0.840_42, 0.673),
        (0.932_182, 0.722),
        (0.970_85, 0.766),
        (0.989_416, 0.797),
        (0.998_04, 0.824),
        (0.999_928, 0.847),
        (1.0, 0.894),
    ],
};

fn table(version: Version, capacity: &Capacity, action: Action, late: bool) -> Table {
    let tables = match (version, capacity) {
        (Version::One, _) => return &[],
        (Version::Two, Capacity::Queue { .. }) => &QUEUE_TWO,
        (Version::Three, Capacity::Queue { .. }) => &QUEUE_THREE,
        (Version::Four | Version::Five | Version::Six, Capacity::Queue { .. }) => &QUEUE_FOUR,
        (Version::Two | Version::Three, Capacity::Utilisation { .. }) => &UTILISATION,
        (Version::Four | Version::Five | Version::Six, Capacity::Utilisation { .. }) => &UTILISATION_FOUR,
    };
    match action {
        Action::Noop => tables.noop,
        Action::ScaleDown => tables.down,
        Action::ScaleUp if late => tables.up_late,
        Action::ScaleUp => tables.up,
        Action::Retune | Action::Rollback => &[],
    }
}

/// A model's statement that the target is kept after an action, as it has come true; `late` where the target was missed
/// already. `None` for what is no probability.
pub(super) fn calibrated(
    version: Version,
    capacity: &Capacity,
    action: Action,
    late: bool,
    stated: f64,
) -> Option<f64> {
    (0.0..=1.0).contains(&stated).then(|| on_the_line(table(version, capacity, action, late), stated))
}

fn on_the_line(table: &[(f64, f64)], stated: f64) -> f64 {
    let after = table.partition_point(|(x, _)| *x < stated);
    match (after.checked_sub(1).and_then(|i| table.get(i)), table.get(after)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * ((stated - x0) / (x1 - x0)),
        (Some((_, y)), None) | (None, Some((_, y))) => *y,
        (None, None) => stated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIONS: [Action; 5] =
        [Action::Noop, Action::ScaleUp, Action::ScaleDown, Action::Retune, Action::Rollback];
    const MODELS: [Capacity; 2] = [
        Capacity::Utilisation { mean: 1.0, sd: 0.1, target: 0.7 },
        Capacity::Queue {
            mean: 10.0,
            sd: 1.0,
            service: 0.1,
            variability: 1.0,
            slots: 1.0,
            base: 0.2,
            target: 0.5,
            bound: 1.0,
        },
    ];

    /// Every table of a version, as a function.
    fn each(version: Version, check: impl Fn(Table, &dyn Fn(f64) -> Option<f64>, &str)) {
        for (model, action, late) in
            MODELS.iter().flat_map(|m| ACTIONS.iter().flat_map(move |a| [(m, *a, false), (m, *a, true)]))
        {
            let name = format!("{} {action:?} {late}", model.model());
            check(
                table(version, model, action, late),
                &|p| calibrated(version, model, action, late, p),
                &name,
            );
        }
    }

    #[test]
    fn version_one_states_what_the_models_say() {
        each(Version::One, |_, of, name| {
            for p in [0.0, 0.1, 0.65, 0.999, 1.0] {
                assert_eq!(of(p), Some(p), "{name}");
            }
        });
    }

    #[test]
    fn what_is_no_probability_stays_none() {
        for version in [Version::One, Version::Two] {
            each(version, |_, of, name| {
                for p in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
                    assert_eq!(of(p), None, "{name}");
                }
            });
        }
    }

    #[test]
    fn a_table_is_a_line_through_its_points_and_flat_beyond() {
        let table = [(0.2, 0.1), (0.5, 0.4), (1.0, 0.9)];
        for (stated, want) in [(0.0, 0.1), (0.2, 0.1), (0.35, 0.25), (0.75, 0.65), (1.0, 0.9)] {
            assert!((on_the_line(&table, stated) - want).abs() < 1e-12, "{stated}");
        }
    }

    #[test]
    fn more_stated_is_never_less_calibrated() {
        for version in [Version::Two, Version::Three, Version::Four, Version::Five, Version::Six] {
            each(version, |table, of, name| {
                let rises = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
                assert!(table.windows(2).all(rises), "{version:?} {name}");
                let of = |i: i32| of(f64::from(i) / 1000.0).unwrap();
                assert!((0..1000).all(|i| of(i) <= of(i + 1) && (0.0..=1.0).contains(&of(i))), "{name}");
            });
        }
    }
}
