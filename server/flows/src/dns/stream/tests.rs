use proptest::prelude::*;

use super::*;

fn direction() -> Direction {
    Direction {
        zone: 0,
        source: ([10, 0, 0, 1], 40000).into(),
        destination: ([10, 0, 0, 2], 53).into(),
    }
}

fn message(length: usize, fill: u8) -> Vec<u8> {
    [(length as u16).to_be_bytes().to_vec(), vec![fill; length]].concat()
}

/// What comes out of segments `(sequence, length, bytes)`.
fn read<'a>(segments: impl IntoIterator<Item = (u32, usize, &'a [u8])>) -> Vec<(usize, u8, bool)> {
    let mut streams = Streams::new();
    let mut seen = Vec::new();
    for (sequence, length, bytes) in segments {
        let segment = Segment {
            sequence,
            length: length as u32,
            bytes,
        };
        streams.take(direction(), segment, &mut |bytes, is_partial| {
            seen.push((bytes.len(), bytes.first().copied().unwrap_or(0), is_partial));
        });
    }
    seen
}

#[test]
fn what_is_sent_again_is_read_once() {
    let bytes = [message(20, 1), message(30, 2)].concat();
    let (a, b) = bytes.split_at(25);
    let seen = read([
        (u32::MAX - 5, 25, a),
        (u32::MAX - 5, 25, a),
        (19, 29, b),
        (19, 29, b),
    ]);
    assert_eq!(seen, [(20, 1, false), (30, 2, false)]);
}

#[test]
fn a_gap_costs_the_messages_that_it_hits_and_no_others() {
    let bytes = [message(20, 1), message(100, 2), message(30, 3)].concat();
    let seen = read([(0, 60, &bytes[..60]), (80, 74, &bytes[80..])]);
    assert_eq!(seen, [(20, 1, false), (36, 2, true), (30, 3, false)]);
}

#[test]
fn of_a_message_that_is_longer_than_is_copied_the_beginning_is_read() {
    let bytes = [message(60_000, 1), message(30, 2)].concat();
    let seen = read([(0, 60_002, &bytes[..8192]), (60_002, 32, &bytes[60_002..])]);
    assert_eq!(seen, [(8190, 1, true), (30, 2, false)]);
    let seen = read([(0, bytes.len(), &bytes[..])]);
    assert_eq!(seen, [(8192, 1, true), (30, 2, false)]);
}

#[test]
fn a_new_connection_with_the_same_ends_begins_anew() {
    let bytes = message(20, 1);
    let seen = read([
        (0, 10, &bytes[..10]),
        (3_000_000_000, 22, &bytes[..]),
        (77_000, 22, &bytes[..]),
    ]);
    assert_eq!(seen.len(), 2, "{seen:?}");
}

proptest! {
    /// However a stream is cut into segments, the messages are the same.
    #[test]
    fn any_cut_gives_the_same_messages(
        lengths in prop::collection::vec(12_usize..3000, 1..6),
        cuts in prop::collection::vec(1_usize..2000, 1..20),
        start: u32,
    ) {
        let bytes: Vec<u8> = lengths.iter().enumerate().flat_map(|(n, length)| message(*length, n as u8)).collect();
        let mut segments = Vec::new();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            let end = (at + cut).min(bytes.len());
            segments.push((start.wrapping_add(at as u32), end - at, &bytes[at..end]));
            at = end;
            if at == bytes.len() { break; }
        }
        let expect: Vec<_> = lengths.iter().enumerate().map(|(n, length)| (*length, n as u8, false)).collect();
        prop_assert_eq!(read(segments), expect);
    }

    /// Any bytes at any place are read without a panic.
    #[test]
    fn any_segments_are_read(segments in prop::collection::vec((any::<u32>(), 0_usize..70_000, prop::collection::vec(any::<u8>(), 0..300)), 0..30)) {
        read(segments.iter().map(|(sequence, more, bytes)| (*sequence % 100_000, bytes.len() + more, &bytes[..])));
    }
}
