use super::*;
use crate::sni::testing::{hello, message, records, server_name};

fn whole(bytes: &[u8]) -> Begun {
    Begun::Message {
        bytes: bytes.to_vec(),
        is_partial: false,
    }
}

#[test]
fn a_message_is_put_together_from_segments_in_any_order() {
    let message = message(&server_name(b"a.test"));
    for each in [1, 2, 3, 7, 50, 16_384] {
        let bytes = records(&message, each);
        for cut in [1, 4, 5, 6, 9, 33, bytes.len()] {
            let parts: Vec<_> = (0..bytes.len()).step_by(cut).collect();
            let part = |at: usize| &bytes[at..(at + cut).min(bytes.len())];
            if parts.len() > MOST_PIECES {
                continue;
            }
            let mut forth = Stream::default();
            let mut back = Stream::default();
            let (last, others) = parts.split_last().expect("parts");
            for at in others {
                assert_eq!(forth.take(*at, part(*at)), Begun::Waits);
                // Sent again, with what comes.
                let again = &bytes[at / 2..*at];
                assert_eq!(forth.take(at / 2, again), Begun::Waits);
            }
            assert_eq!(
                forth.take(*last, part(*last)),
                whole(&message),
                "{each} {cut}"
            );
            for at in parts.iter().skip(1).rev() {
                assert_eq!(back.take(*at, part(*at)), Begun::Waits);
            }
            assert_eq!(back.take(0, part(0)), whole(&message), "{each} {cut} back");
        }
    }
}

#[test]
fn what_is_no_handshake_is_told_at_its_first_bytes() {
    for other in [&b"GET / HTTP/1.1"[..], &[22, 2], &[23], &[22, 3, 1, 0, 0]] {
        assert_eq!(Stream::default().take(0, other), Begun::Other, "{other:?}");
    }
    let mut cut = records(&message(&server_name(b"a.test")), 20);
    // The second record is of another kind.
    cut[25] = 21;
    assert_eq!(Stream::default().take(0, &cut), Begun::Other);
}

#[test]
fn of_a_long_message_the_first_bytes_are_read() {
    let mut extensions = server_name(b"a.test");
    extensions.extend(crate::sni::testing::extension(41, &[0; 6000]));
    let bytes = records(&message(&extensions), 16_384);
    let mut stream = Stream::default();
    assert_eq!(stream.take(0, &bytes[..4000]), Begun::Waits);
    let Begun::Message {
        bytes: read,
        is_partial: true,
    } = stream.take(4000, &bytes[4000..])
    else {
        panic!("its first bytes");
    };
    assert_eq!(read.len(), MOST - HEAD);
    assert_eq!(stream.take(MOST, &[0; 10]), Begun::Waits);
    assert_eq!(stream.take(usize::MAX, &[0; 10]), Begun::Waits);
}

#[test]
fn pieces_beyond_the_bound_are_left_out() {
    let mut stream = Stream::default();
    for n in 0..1000 {
        assert_eq!(stream.take(2 + 3 * n, &[0]), Begun::Waits);
    }
    assert_eq!(stream.pieces.len(), MOST_PIECES);
    let bytes = hello("a.test");
    assert_eq!(stream.take(0, &bytes), whole(&bytes[HEAD..]));
}
