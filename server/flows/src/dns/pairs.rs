//! Which query an answer belongs to.
//!
//! By both ends, the id and the question, in whatever case the letters are. A query
//! that is sent again is the same one: its latency is from the first time on.

use std::net::SocketAddr;

use super::message::Question;
use crate::generations::Generations;

/// Queries that wait for an answer.
const CAPACITY: usize = 16_384;
/// An answer that comes later is to nobody's query: resolvers gave up by then.
const PATIENCE_NS: u64 = 60_000_000_000;

/// One conversation between a client and a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Conversation {
    /// Address space.
    pub(super) zone: u16,
    pub(super) is_tcp: bool,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
}

#[derive(Debug)]
struct Waiting {
    question: Question,
    since_ns: u64,
    /// How often it was sent and not answered.
    times: u32,
}

/// The queries that wait. Those of one id, with different questions, are few.
#[derive(Debug)]
pub(super) struct Pairs(Generations<(Conversation, u16), Vec<Waiting>>);

/// Questions under one id of a conversation.
const MAX_QUESTIONS: usize = 8;
/// Bytes of these, but for the last one.
const MAX_BYTES: usize = 1 << 10;

impl Pairs {
    pub(super) fn new() -> Self {
        Self(Generations::new(CAPACITY))
    }

    /// Queries that were forgotten for want of room.
    pub(super) fn forgotten(&self) -> u64 {
        self.0.forgotten()
    }

    /// Takes note of a query.
    pub(super) fn ask(&mut self, who: Conversation, id: u16, question: &Question, now_ns: u64) {
        let key = (who, id);
        let mut waiting = self.0.remove(&key).unwrap_or_default();
        waiting.retain(|waiting| now_ns.saturating_sub(waiting.since_ns) < PATIENCE_NS);
        match waiting
            .iter_mut()
            .find(|waiting| waiting.question == *question)
        {
            Some(again) => again.times += 1,
            None => {
                while !waiting.is_empty() && !has_room(&waiting, question) {
                    waiting.remove(0);
                }
                waiting.push(Waiting {
                    question: question.clone(),
                    since_ns: now_ns,
                    times: 1,
                });
            }
        }
        self.0.insert(key, waiting);
    }

    /// The question that an answer is to and how long it took, in nanoseconds;
    /// none if nobody asked. An answer without a question is to the only one.
    pub(super) fn answer(
        &mut self,
        who: Conversation,
        id: u16,
        question: Option<&Question>,
        now_ns: u64,
    ) -> Option<(Question, u64)> {
        let key = (who, id);
        let mut waiting = self.0.remove(&key)?;
        waiting.retain(|waiting| now_ns.saturating_sub(waiting.since_ns) < PATIENCE_NS);
        let place = match question {
            Some(question) => waiting
                .iter()
                .position(|waiting| waiting.question == *question),
            None => (waiting.len() == 1).then_some(0),
        };
        let answered = place.map(|place| {
            let asked = &mut waiting[place];
            asked.times -= 1;
            let took = now_ns.saturating_sub(asked.since_ns);
            match asked.times {
                0 => (waiting.remove(place).question, took),
                _ => (asked.question.clone(), took),
            }
        });
        if !waiting.is_empty() {
            self.0.insert(key, waiting);
        }
        answered
    }
}

fn has_room(waiting: &[Waiting], question: &Question) -> bool {
    let bytes: usize = waiting.iter().map(|one| one.question.bytes()).sum();
    waiting.len() < MAX_QUESTIONS && bytes + question.bytes() <= MAX_BYTES
}
