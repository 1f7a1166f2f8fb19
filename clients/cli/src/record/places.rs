//! On which line each flow was that was sent: the server names flows by their place
//! among all of a call.

/// Runs of lines that are kept: 1 MiB.
const MAX_RUNS: usize = 65_536;

/// Lines of flows, as runs of one flow a line. Bound: `MAX_RUNS`; flows behind them
/// have no line.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The first flow of each run, and its line.
    runs: Vec<(u64, u64)>,
    /// Flows whose lines are known.
    flows: u64,
}

impl Places {
    /// The next flow is on this line; of captures it has none.
    pub(super) fn add(&mut self, line: Option<u64>) {
        let Some(line) = line else { return };
        if self.next_of_run() != Some(line) {
            if self.runs.len() == MAX_RUNS {
                return;
            }
            self.runs.push((self.flows, line));
        }
        self.flows += 1;
    }

    /// The line of a flow, counted from 0.
    pub(super) fn line(&self, flow: u64) -> Option<u64> {
        if flow >= self.flows {
            return None;
        }
        let after = self.runs.partition_point(|(first, _)| *first <= flow);
        let (first, line) = self.runs.get(after.checked_sub(1)?)?;
        Some(line + (flow - first))
    }

    fn next_of_run(&self) -> Option<u64> {
        let (first, line) = self.runs.last()?;
        Some(line + (self.flows - first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_over_gaps_and_only_gaps_are_kept() {
        let mut places = Places::default();
        let lines = [3, 4, 5, 9, 10, 12];
        for line in lines {
            places.add(Some(line));
        }
        let found: Vec<Option<u64>> = (0..7).map(|flow| places.line(flow)).collect();
        assert_eq!(found, [lines.map(Some).as_slice(), &[None]].concat());
        assert_eq!(places.runs.len(), 3);
        assert_eq!(Places::default().line(0), None);
    }

    #[test]
    fn lines_behind_too_many_gaps_are_not_known() {
        let mut places = Places::default();
        let gaps = MAX_RUNS as u64;
        for flow in 0..gaps + 10 {
            places.add(Some(2 * flow + 1));
        }
        assert_eq!(places.runs.len(), MAX_RUNS);
        assert_eq!(places.line(gaps - 1), Some(2 * gaps - 1));
        assert_eq!(places.line(gaps), None);
        assert_eq!(places.line(gaps + 9), None);
    }
}
