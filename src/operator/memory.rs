//! What must survive a restart lives in status: cooldown, rollbacks, revisions known bad or good, a retune under trial, counts
//! that were too few.
//!
//! Status can be edited by whoever may write it, so reading it back fails closed: a value that makes no sense is
//! replaced by the one that holds us back the longest, and said.

use jiff::{SignedDuration, Timestamp};

use crate::api::scaling::{
    LessonsStatus, MatVerseScalingStatus, RetuneSearchStatus, RetuneStatus, RollbackStatus, TooFewStatus,
};
use crate::decide::regret::{Regrets, Tested};
use crate::decide::situation::{Load, Memory, RetuneSlope, RetuneTrial};

/// Rollbacks count for this long.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Longest cooldown that a spec can ask for.
const LONGEST_COOLDOWN: SignedDuration = SignedDuration::from_hours(24);
/// Difference between the clocks of two replicas that is not worth a word.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// Times that status keeps.
const TIMES: usize = 100;
/// Revisions that status keeps, of each sort.
const REVISIONS: usize = 32;

/// What status remembers, and what in it made no sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// The memory to go on with.
    pub memory: Memory,
    /// One line for each value that had to be replaced by a cautious one.
    pub doubts: Vec<String>,
}

/// Rebuilds memory from status, at the first turn after a restart or a change of leader.
///
/// What is not in status (streaks, recommendations, judgements in progress) begins anew, so that nothing is scaled
/// down before a whole stabilisation window was seen again.
#[must_use]
pub fn memory_from_status(
    status: &MatVerseScalingStatus,
    cooldown_seconds: u32,
    now: Timestamp,
) -> Remembered {
    let mut doubts = Vec::new();
    let lessons = status.lessons.as_ref();
    let memory = Memory {
        cooldown_until: cooldown(status, cooldown_seconds, now, &mut doubts),
        rollbacks: rollbacks(&status.rollback, now, &mut doubts),
        bad_templates: status.rollback.bad_revisions.iter().map(Into::into).collect(),
        good_templates: status.rollback.good_revisions.iter().map(Into::into).collect(),
        retune_trial: status.retune.as_ref().map(|r| Box::new(trial(r, now, &mut doubts))),
        retune_slopes: slopes(&status.retune_search, &mut doubts),
        revision: lessons.map(|lessons| lessons.revision.as_str().into()),
        regrets: lessons.map(|lessons| regrets(lessons, now, &mut doubts)).unwrap_or_default(),
        ..Memory::default()
    };
    Remembered { memory, doubts }
}

/// Writes what must survive a restart into status. Lists keep their newest entries.
pub fn memory_to_status(memory: &Memory, now: Timestamp, status: &mut MatVerseScalingStatus) {
    status.cooldown_until = memory.cooldown_until.filter(|until| *until > now).map(|until| until.to_string());
    let recent: Vec<Timestamp> =
        memory.rollbacks.iter().copied().filter(|at| now.duration_since(*at) < DAY).collect();
    let last_time = memory.rollbacks.last().map(Timestamp::to_string).or(status.rollback.last_time.take());
    status.rollback = RollbackStatus {
        last_time,
        count_today: u32::try_from(recent.len()).unwrap_or(u32::MAX),
        times: newest_last(&recent, TIMES).iter().map(Timestamp::to_string).collect(),
        bad_revisions: newest_last(&memory.bad_templates, REVISIONS)
            .iter()
            .map(ToString::to_string)
            .collect(),
        good_revisions: memory.good_templates.iter().take(REVISIONS).map(ToString::to_string).collect(),
    };
    status.retune = memory.retune_trial.as_ref().map(|trial| RetuneStatus {
        config_map: trial.config_map.clone(),
        key: trial.key.clone(),
        before: trial.before.clone(),
        trial: trial.trial.clone(),
        since: trial.since.to_string(),
        baseline: trial.baseline,
        signal: trial.signal.clone(),
    });
    status.retune_search = newest_last(&memory.retune_slopes, REVISIONS)
        .iter()
        .map(|known| RetuneSearchStatus {
            key: known.key.clone(),
            slope: known.slope,
            squares: known.squares,
        })
        .collect();
    let Regrets { too_few, vain_steps, .. } = &memory.regrets;
    let taught = !too_few.is_empty() || *vain_steps > 0;
    status.lessons = memory.revision.as_ref().filter(|_| taught).map(|revision| LessonsStatus {
        revision: revision.to_string(),
        too_few: too_few
            .iter()
            .map(|Tested { at, replicas, load }| TooFewStatus {
                replicas: *replicas,
                at: at.to_string(),
                throughput: load.throughput,
                work: load.work,
            })
            .collect(),
        vain_retune_steps: *vain_steps,
    });
}

fn newest_last<T>(list: &[T], keep: usize) -> &[T] {
    list.get(list.len().saturating_sub(keep)..).unwrap_or(list)
}

fn cooldown(
    status: &MatVerseScalingStatus,
    cooldown_seconds: u32,
    now: Timestamp,
    doubts: &mut Vec<String>,
) -> Option<Timestamp> {
    let text = status.cooldown_until.as_ref()?;
    let Ok(until) = text.parse::<Timestamp>() else {
        doubts.push(format!("status.cooldownUntil {text:?} is no time: a whole cooldown begins"));
        return Some(later(now, SignedDuration::from_secs(cooldown_seconds.into())));
    };
    let longest = later(now, LONGEST_COOLDOWN);
    if until > longest {
        doubts.push(format!("status.cooldownUntil {text} is further away than any cooldown: cut to a day"));
    }
    Some(until.min(longest))
}

fn rollbacks(status: &RollbackStatus, now: Timestamp, doubts: &mut Vec<String>) -> Vec<Timestamp> {
    let mut times: Vec<Timestamp> = status
        .times
        .iter()
        .map(|text| match text.parse::<Timestamp>() {
            Ok(at) if at <= later(now, SKEW) => at.min(now),
            Ok(_) => {
                doubts.push(format!("status.rollback.times has {text}, which is to come: counted as now"));
                now
            }
            Err(_) => {
                doubts.push(format!("status.rollback.times has {text:?}, which is no time: counted as now"));
                now
            }
        })
        .collect();
    let missing =
        usize::try_from(status.count_today).unwrap_or(usize::MAX).min(TIMES).saturating_sub(times.len());
    if missing > 0 {
        doubts.push(format!(
            "status.rollback counts {} but lists {}: the others are counted as now",
            status.count_today,
            times.len()
        ));
        times.extend(std::iter::repeat_n(now, missing));
    }
    times.retain(|at| now.duration_since(*at) < DAY);
    times.sort_unstable();
    times
}

/// Whether a ScaleUp happened since is not in status, so the comparison is void and the step will be taken back.
fn trial(status: &RetuneStatus, now: Timestamp, doubts: &mut Vec<String>) -> RetuneTrial {
    RetuneTrial {
        config_map: status.config_map.clone(),
        key: status.key.clone(),
        before: status.before.clone(),
        trial: status.trial.clone(),
        since: past("status.retune.since", &status.since, now, doubts),
        baseline: status.baseline,
        signal: status.signal.clone(),
        void: true,
    }
}

/// A slope that makes no sense is forgotten: the search of that parameter begins anew, within the same bounds.
fn slopes(status: &[RetuneSearchStatus], doubts: &mut Vec<String>) -> Vec<RetuneSlope> {
    let mut slopes: Vec<RetuneSlope> = Vec::new();
    for RetuneSearchStatus { key, slope, squares } in status {
        let sound = slope.is_finite() && squares.is_finite() && *squares >= slope * slope;
        if sound && !slopes.iter().any(|known| known.key == *key) {
            slopes.push(RetuneSlope { key: key.clone(), slope: *slope, squares: *squares });
        } else {
            doubts.push(format!("status.retuneSearch of {key:?} makes no sense: its search begins anew"));
        }
    }
    slopes
}

/// A lesson without a time was learned now, one without a load is true of any.
fn regrets(lessons: &LessonsStatus, now: Timestamp, doubts: &mut Vec<String>) -> Regrets {
    let mut too_few: Vec<Tested> = Vec::new();
    for TooFewStatus { replicas, at, throughput, work } in &lessons.too_few {
        let at = past("status.lessons.tooFew.at", at, now, doubts).min(now);
        let sound = |load: &f64| load.is_finite() && *load >= 0.0;
        if !throughput.iter().chain(work).all(sound) {
            doubts.push(format!(
                "status.lessons.tooFew of {replicas} has a load that is none: true of any load"
            ));
        }
        let load = Load { throughput: throughput.filter(sound), work: work.filter(sound) };
        too_few.push(Tested { at, replicas: *replicas, load });
    }
    too_few.sort_unstable_by_key(|known| known.replicas);
    Regrets { too_few, vain_steps: lessons.vain_retune_steps, ..Regrets::default() }
}

/// The time that a field gives; now where it is none, or one that is to come.
fn past(field: &str, text: &str, now: Timestamp, doubts: &mut Vec<String>) -> Timestamp {
    text.parse::<Timestamp>().ok().filter(|at| *at <= later(now, SKEW)).unwrap_or_else(|| {
        doubts.push(format!("{field} {text:?} is no past time: counted as now"));
        now
    })
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing::Story;
    use crate::observe::reading::SignalName;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        at("2030-01-02T12:00:00Z")
    }

    fn tested(since: &str, replicas: i32, throughput: Option<f64>, work: Option<f64>) -> Tested {
        Tested { at: at(since), replicas, load: Load { throughput, work } }
    }

    fn memory() -> Memory {
        Memory {
            cooldown_until: Some(at("2030-01-02T12:00:40.5Z")),
            rollbacks: vec![at("2030-01-01T11:00:00Z"), at("2030-01-02T11:00:00Z")],
            bad_templates: vec!["aa".into()],
            good_templates: vec!["cc".into(), "bb".into()],
            retune_trial: Some(Box::new(RetuneTrial {
                config_map: "tuning".into(),
                key: "workers".into(),
                before: "8".into(),
                trial: "8.16".into(),
                since: at("2030-01-02T11:59:00Z"),
                baseline: 1.25,
                signal: "beta".into(),
                void: false,
            })),
            retune_slopes: vec![RetuneSlope { key: "workers".into(), slope: -2.0, squares: 5.0 }],
            revision: Some("5d4f8".into()),
            regrets: Regrets {
                too_few: vec![
                    tested("2030-01-02T11:00:00Z", 3, Some(80.0), None),
                    tested("2030-01-02T11:30:00.25Z", 5, None, Some(3.75)),
                ],
                vain_steps: 7,
                ..Regrets::default()
            },
            ..Memory::default()
        }
    }

    #[test]
    fn what_was_written_is_remembered() {
        let mut status = MatVerseScalingStatus::default();
        memory_to_status(&memory(), now(), &mut status);
        assert_eq!(status.cooldown_until.as_deref(), Some("2030-01-02T12:00:40.5Z"));
        assert_eq!(status.rollback.count_today, 1, "one of them is older than a day");
        assert_eq!(status.rollback.last_time.as_deref(), Some("2030-01-02T11:00:00Z"));
        // Through JSON, as the API server keeps it.
        let status: MatVerseScalingStatus =
            serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
        let Remembered { memory: read, doubts } = memory_from_status(&status, 60, now());
        assert_eq!(doubts, Vec::<String>::new());
        let mut expected = memory();
        expected.rollbacks.remove(0);
        expected.retune_trial.as_mut().unwrap().void = true;
        assert_eq!(read, expected);
    }

    #[test]
    fn an_empty_status_remembers_nothing() {
        let read = memory_from_status(&MatVerseScalingStatus::default(), 60, now());
        assert_eq!(read, Remembered { memory: Memory::default(), doubts: Vec::new() });
    }

    #[test]
    fn what_is_over_leaves_status_and_the_last_time_stays() {
        let mut status = MatVerseScalingStatus::default();
        memory_to_status(&memory(), now(), &mut status);
        memory_to_status(&Memory::default(), at("2030-02-01T00:00:00Z"), &mut status);
        assert_eq!((status.cooldown_until, status.retune, status.lessons), (None, None, None));
        assert_eq!(status.rollback.count_today, 0);
        assert_eq!(status.rollback.times, Vec::<String>::new());
        assert_eq!(status.rollback.last_time.as_deref(), Some("2030-01-02T11:00:00Z"));
    }

    #[test]
    fn nonsense_holds_back_and_is_said() {
        let mut status = MatVerseScalingStatus::default();
        memory_to_status(&memory(), now(), &mut status);
        status.cooldown_until = Some("soon".into());
        status.rollback.times = vec!["never".into(), "2031-01-01T00:00:00Z".into()];
        status.rollback.count_today = 3;
        status.retune.as_mut().unwrap().since = String::new();
        let Remembered { memory: read, doubts } = memory_from_status(&status, 90, now());
        assert_eq!(read.cooldown_until, Some(at("2030-01-02T12:01:30Z")));
        assert_eq!(read.rollbacks, vec![now(); 3], "each counts against the budget for a whole day");
        assert_eq!(read.retune_trial.unwrap().since, now());
        assert_eq!(doubts.len(), 5, "{doubts:?}");
    }

    #[test]
    fn slopes_that_make_no_sense_are_forgotten_and_said() {
        let search = |key: &str, slope, squares| RetuneSearchStatus { key: key.into(), slope, squares };
        let status = MatVerseScalingStatus {
            retune_search: vec![
                search("good", -2.0, 4.0),
                search("good", 1.0, 9.0),
                search("small", 3.0, 4.0),
                search("wild", f64::INFINITY, f64::INFINITY),
            ],
            ..MatVerseScalingStatus::default()
        };
        let Remembered { memory: read, doubts } = memory_from_status(&status, 60, now());
        assert_eq!(read.retune_slopes, [RetuneSlope { key: "good".into(), slope: -2.0, squares: 4.0 }]);
        assert_eq!(doubts.len(), 3, "{doubts:?}");
    }

    #[test]
    fn a_lesson_outlives_a_restart_and_no_rollout() {
        let spare = || Story::new().fresh(SignalName::THROUGHPUT, 100.0).needs_for_long(4);
        let now = spare().s.now;
        let taught = spare().memory(|m| {
            let load = Load { throughput: Some(100.0), work: None };
            m.regrets.too_few = vec![Tested { at: now, replicas: 4, load }];
        });
        let mut status = MatVerseScalingStatus::default();
        memory_to_status(&taught.decide().memory, now, &mut status);
        let restarted = |revision: &str| {
            let mut status = status.clone();
            status.lessons.as_mut().unwrap().revision = revision.into();
            let read = memory_from_status(&status, 60, now).memory;
            spare().memory(|m| (m.regrets, m.revision) = (read.regrets, read.revision)).decide()
        };
        assert_eq!(taught.decide().why, "TooFewBefore");
        assert_eq!(restarted(&status.lessons.as_ref().unwrap().revision).why, "TooFewBefore");
        assert!(restarted("of another rollout").memory.regrets.too_few.is_empty());
    }

    #[test]
    fn lessons_that_make_no_sense_hold_back_and_are_said() {
        let mut status = MatVerseScalingStatus::default();
        memory_to_status(&memory(), now(), &mut status);
        let lessons = status.lessons.as_mut().unwrap();
        lessons.too_few[0].at = "9999-01-01T00:00:00Z".into();
        lessons.too_few[1].work = Some(f64::NAN);
        lessons.too_few.swap(0, 1);
        let Remembered { memory: read, doubts } = memory_from_status(&status, 60, now());
        let expected = [
            Tested { at: now(), ..memory().regrets.too_few[0] },
            Tested { load: Load::default(), ..memory().regrets.too_few[1] },
        ];
        assert_eq!(read.regrets.too_few, expected, "the larger count last, as it is looked for");
        assert_eq!(doubts.len(), 2, "{doubts:?}");
    }

    #[test]
    fn a_cooldown_for_ever_is_a_day_at_most() {
        let status = MatVerseScalingStatus {
            cooldown_until: Some("9999-01-01T00:00:00Z".into()),
            ..MatVerseScalingStatus::default()
        };
        let read = memory_from_status(&status, 60, now());
        assert_eq!(read.memory.cooldown_until, Some(at("2030-01-03T12:00:00Z")));
        assert_eq!(read.doubts.len(), 1);
    }

    #[test]
    fn lists_stay_within_their_bounds() {
        let many = Memory {
            rollbacks: vec![now(); 500],
            bad_templates: (0..100).map(|i| format!("bad{i}").into()).collect(),
            good_templates: (0..100).map(|i| format!("good{i}").into()).collect(),
            ..Memory::default()
        };
        let mut status = MatVerseScalingStatus::default();
        memory_to_status(&many, now(), &mut status);
        let rollback = &status.rollback;
        assert_eq!((rollback.times.len(), rollback.count_today), (TIMES, 500));
        assert_eq!((rollback.bad_revisions.len(), rollback.good_revisions.len()), (REVISIONS, REVISIONS));
        assert_eq!(rollback.bad_revisions.last().unwrap(), "bad99", "the newest bad mark");
        assert_eq!(rollback.good_revisions.first().unwrap(), "good0", "the newest good mark");
        assert_eq!(memory_from_status(&status, 60, now()).doubts.len(), 0, "a full list is no contradiction");
    }
}
