//! What judging one flow takes, in steps of some ten nanoseconds.
//!
//! Only what may take long is counted: expressions, regular expressions on the
//! texts of a flow. Bound: `FLOW_STEPS` for a flow; a request may take
//! `REQUEST_STEPS` and `STEPS_A_FLOW` more for each flow that it looks at.

use std::cell::{Cell, OnceCell};

/// For one flow.
pub const FLOW_STEPS: u64 = 100_000;
/// For all flows of a request.
pub const REQUEST_STEPS: u64 = 500_000_000;
/// What each flow adds to that.
pub const STEPS_A_FLOW: u64 = 10_000;

/// Judging took too much, so what it would have come to is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Overrun(Box<str>);

impl Overrun {
    pub(super) fn of_request() -> Self {
        let text = format!(
            "the filters took more than {REQUEST_STEPS} steps, and {STEPS_A_FLOW} more for each \
             flow; make them simpler, or look at fewer flows by other fields"
        );
        Self(text.into())
    }
}

/// Steps that are over the bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent;

/// The steps of one flow.
#[derive(Debug, Default)]
pub(super) struct Meter {
    spent: Cell<u64>,
    blamed: OnceCell<Box<str>>,
}

impl Meter {
    /// Takes steps, before they are done.
    #[inline]
    pub(super) fn spend(&self, steps: usize) -> Result<(), Spent> {
        let spent = self.spent.get().saturating_add(steps as u64);
        self.spent.set(spent);
        if spent > FLOW_STEPS {
            Err(Spent)
        } else {
            Ok(())
        }
    }

    /// Takes all that is left, and more.
    pub(super) fn exhaust(&self) {
        self.spent.set(FLOW_STEPS + 1);
    }

    /// Whether nothing more may be done.
    pub(super) fn is_over(&self) -> bool {
        self.spent.get() > FLOW_STEPS
    }

    /// So many steps were taken.
    pub(super) fn spent(&self) -> u64 {
        self.spent.get()
    }

    /// The field that took the last step.
    pub(super) fn blame(&self, field: &str) {
        self.blamed.get_or_init(|| field.into());
    }

    /// What is said of a flow that took too much.
    pub(super) fn overrun(&self) -> Option<Overrun> {
        self.is_over().then(|| {
            let field = self.blamed.get().map_or("a filter", |field| field);
            let text = format!(
                "{field}: takes more than {FLOW_STEPS} steps for one flow; make it simpler, or \
                 leave such flows out by other fields"
            );
            Overrun(text.into())
        })
    }
}
