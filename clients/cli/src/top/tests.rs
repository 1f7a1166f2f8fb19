use ratatui::{Terminal, backend::TestBackend};
use sextant_proto::sextant::{
    flow::v1::{SummaryGroup, Traffic},
    status::v1::{Cost, EventBalance, Ledger, Loss},
};

use super::*;

fn model() -> Model {
    let group = |values: [&str; 4], bytes| SummaryGroup {
        values: values.map(str::to_owned).into(),
        traffic: Some(Traffic {
            flows: 12,
            packets_per_second: 1500.0,
            bytes,
            bytes_per_second: bytes as f64 / 10.0,
            ..Traffic::default()
        }),
        ..SummaryGroup::default()
    };
    let lost = Loss {
        events: 7,
        ..Loss::default()
    };
    Model {
        server: "localhost:4245".into(),
        summary: FlowSummary {
            groups: vec![
                group(
                    ["192.168.100.200", "192.168.100.201", "44300", "ICMPv4"],
                    5 << 20,
                ),
                group(["2001:db8:1:2:3:4:5:6", "2001:db8::2", "53", "UDP"], 1000),
            ],
            group_count: 2,
            ..FlowSummary::default()
        },
        status: Status {
            node_name: "node-a".into(),
            cost: Some(Cost {
                daemon_cpu: 0.0125,
                nanoseconds_per_packet: 88.0,
                ..Cost::default()
            }),
            ledger: Some(Ledger {
                events: Some(EventBalance {
                    lost: vec![lost],
                    ..EventBalance::default()
                }),
                ..Ledger::default()
            }),
            ..Status::default()
        },
        ..Model::default()
    }
}

/// The screen, line by line.
fn drawn(model: &Model) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| screen::draw(frame, model)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let line = |row: u16| {
        (0..80)
            .map(|column| buffer[(column, row)].symbol())
            .collect::<String>()
    };
    (0..24).map(line).collect()
}

fn press(model: &mut Model, code: KeyCode) -> Act {
    model.key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn head_rows_and_help_fit_into_80_columns() {
    let lines = drawn(&model());
    assert!(
        lines[0].starts_with("node-a at localhost:4245"),
        "{lines:#?}"
    );
    assert!(
        lines[1].contains("1.25 %")
            && lines[1].contains("88 ns/packet")
            && lines[1].trim_end().ends_with("lost 7, step 0")
    );
    assert!(lines[3].contains("CLIENT") && lines[3].contains("BYTES/S"));
    assert!(
        lines[4].starts_with("192.168.100.200 ")
            && lines[4].contains("192.168.100.201 ")
            && lines[4].contains(" 44300 ICMPv4 ")
            && lines[4].contains("5.0 MiB"),
        "{lines:#?}"
    );
    assert!(lines[5].contains("2001:db8") && lines[5].contains("1.5k"));
    assert!(lines[23].starts_with("q quit"));
}

#[test]
fn keys_choose_view_and_order_pause_and_quit() {
    let mut model = model();
    assert_eq!(press(&mut model, KeyCode::Char('3')), Act::Look);
    assert_eq!(model.view, View::Ports);
    assert_eq!(press(&mut model, KeyCode::Tab), Act::Look);
    assert_eq!(model.view, View::Drops);
    press(&mut model, KeyCode::Char('o'));
    assert_eq!(model.order, Order::Packets);
    press(&mut model, KeyCode::Char('p'));
    assert!(drawn(&model)[0].contains("PAUSED"));
    assert_eq!(press(&mut model, KeyCode::Char('q')), Act::Quit);
}

#[test]
fn a_typed_filter_is_taken_and_a_wrong_one_is_told_and_can_be_mended() {
    let mut model = model();
    press(&mut model, KeyCode::Char('/'));
    "--port 80 --bogus".chars().for_each(|c| {
        press(&mut model, KeyCode::Char(c));
    });
    assert_eq!(press(&mut model, KeyCode::Enter), Act::Nothing);
    assert!(model.problem.as_ref().unwrap().contains("--bogus"));
    for _ in " --bogus".chars() {
        press(&mut model, KeyCode::Backspace);
    }
    assert_eq!(press(&mut model, KeyCode::Enter), Act::Look);
    assert_eq!(model.filters.whitelist.len(), 2);
    assert!(drawn(&model)[2].contains("filter: --port 80"));
}

#[test]
fn the_drops_view_shows_drops_alone() {
    let mut model = model();
    model.view = View::Drops;
    assert!(!screen::text(&model).contains("192.168.100.200"));
    model.summary.groups[0].traffic.as_mut().unwrap().drops = 3;
    assert!(screen::text(&model).contains("192.168.100.200"));
}

#[test]
fn an_outage_is_told_with_what_was_missed_until_a_key_is_pressed() {
    let mut model = model();
    model.answered(Some("connection refused".into()));
    assert!(drawn(&model)[23].starts_with("connection refused"));
    std::thread::sleep(Duration::from_millis(2));
    model.status.uptime = Some(prost_types::Duration {
        seconds: 0,
        nanos: 1,
    });
    model.answered(None);
    assert!(drawn(&model)[23].contains("started anew"));
    model.answered(None);
    assert!(drawn(&model)[23].contains("started anew"));
    press(&mut model, KeyCode::Char('1'));
    assert!(drawn(&model)[23].starts_with("q quit"));
    model.answered(Some("connection refused".into()));
    model.status.uptime = Some(prost_types::Duration {
        seconds: 3600,
        nanos: 0,
    });
    model.answered(None);
    assert!(drawn(&model)[23].contains("ran on"));
}
