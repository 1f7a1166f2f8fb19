//! When events become coarser and finer. Pure: told a load, it answers a step.

use std::time::Duration;

/// The coarsest step.
pub(super) const LAST_STEP: u32 = 13;
/// Steps that lengthen the interval; those after them sample.
const LONGER: u32 = 3;
/// The longest interval that a step makes.
const LONGEST: Duration = Duration::from_secs(60);
/// Where there is no aggregation, the first step brings it.
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// Looks over the budget before a step up.
const PATIENCE_UP: u32 = 2;
/// Looks well below the budget before the first step down: more, lest it swings.
const PATIENCE_DOWN: u32 = 10;
/// And before each further one, if it is still well below.
const PATIENCE_FURTHER: u32 = 2;
/// What a step down may double must fit.
const WELL_BELOW: f64 = 0.5;

/// Interval and sampling at a step, with this interval as configured.
pub(super) fn interval(configured: Duration, step: u32) -> (Duration, u32) {
    if step == 0 {
        return (configured, 1);
    }
    let longer = step.min(LONGER);
    let interval = if configured.is_zero() {
        FIRST_INTERVAL * 2_u32.pow(longer - 1)
    } else {
        (configured * 2_u32.pow(longer)).min(LONGEST.max(configured))
    };
    (interval, 2_u32.pow(step.saturating_sub(LONGER)))
}

/// The step now, and how long it has been wrong.
pub(super) struct Steps {
    limit: f64,
    step: u32,
    over: u32,
    below: u32,
}

impl Steps {
    /// Without a limit no step is ever taken.
    pub(super) fn new(limit: f64) -> Self {
        Self {
            limit,
            step: 0,
            over: 0,
            below: 0,
        }
    }

    /// The new step after a look at the load, if it is another.
    pub(super) fn after(&mut self, load: f64) -> Option<u32> {
        if self.limit <= 0.0 {
            return None;
        }
        self.over = if load > self.limit { self.over + 1 } else { 0 };
        let is_low = load < self.limit * WELL_BELOW;
        self.below = if is_low { self.below + 1 } else { 0 };
        if self.over >= PATIENCE_UP && self.step < LAST_STEP {
            self.step += 1;
        } else if self.below >= PATIENCE_DOWN && self.step > 0 {
            self.step -= 1;
            self.over = 0;
            self.below = PATIENCE_DOWN - PATIENCE_FURTHER;
            return Some(self.step);
        } else {
            return None;
        }
        (self.over, self.below) = (0, 0);
        Some(self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(steps: &mut Steps, load: f64, looks: u32) -> u32 {
        for _ in 0..looks {
            steps.after(load);
        }
        steps.step
    }

    #[test]
    fn a_load_over_the_budget_is_answered_step_by_step_to_the_last() {
        let mut steps = Steps::new(0.1);
        assert_eq!(take(&mut steps, 0.11, 1), 0);
        assert_eq!(take(&mut steps, 0.11, 1), 1);
        assert_eq!(take(&mut steps, 0.11, 4), 3);
        assert_eq!(take(&mut steps, 0.11, 1000), LAST_STEP);
    }

    #[test]
    fn a_load_near_the_budget_changes_nothing_and_a_low_one_undoes_all() {
        let mut steps = Steps::new(0.1);
        take(&mut steps, 1.0, 4);
        assert_eq!(take(&mut steps, 0.07, 1000), 2);
        assert_eq!(take(&mut steps, 0.01, 9), 2);
        assert_eq!(take(&mut steps, 0.01, 1), 1);
        assert_eq!(take(&mut steps, 0.01, 2), 0);
        assert_eq!(steps.after(0.0), None);
    }

    #[test]
    fn without_a_limit_no_step_is_taken() {
        assert_eq!(take(&mut Steps::new(0.0), 10.0, 100), 0);
    }

    #[test]
    fn intervals_come_before_sampling_and_never_grow_shorter() {
        let five = Duration::from_secs(5);
        let of = |configured, step| interval(configured, step);
        assert_eq!(of(five, 0), (five, 1));
        assert_eq!(of(five, 1), (five * 2, 1));
        assert_eq!(of(five, 3), (five * 8, 1));
        assert_eq!(of(five, 4), (five * 8, 2));
        assert_eq!(of(five, LAST_STEP), (five * 8, 1024));
        assert_eq!(of(Duration::ZERO, 1), (Duration::from_secs(1), 1));
        let hour = Duration::from_secs(3600);
        assert_eq!(of(hour, 2), (hour, 1));
    }
}
