//! Network policies: what was asked for, and what puts it in force. Documents and verdicts
//! are in `sextant-policy`.

pub mod enforce;
