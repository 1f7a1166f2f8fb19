//! Checks of an application-layer record.

use sextant_proto::flow::{self as pb, layer7::Record};

use super::{Checked, list, text, texts};

/// Longest text of a record. Servers commonly take URLs and headers up to this.
const MAX_RECORD_TEXT: usize = 8192;

#[expect(deprecated, reason = "Kafka is in the schema")]
pub(super) fn layer7(l7: &pb::Layer7) -> Checked {
    match &l7.record {
        Some(Record::Dns(dns)) => dns_record(dns),
        Some(Record::Http(http)) => http_record(http),
        Some(Record::Kafka(kafka)) => {
            record_text("l7.kafka.api_key", &kafka.api_key)?;
            record_text("l7.kafka.topic", &kafka.topic)
        }
        None => Ok(()),
    }
}

fn dns_record(dns: &pb::Dns) -> Checked {
    record_text("l7.dns.query", &dns.query)?;
    record_text("l7.dns.observation_source", &dns.observation_source)?;
    for (field, values) in [
        ("l7.dns.ips", &dns.ips),
        ("l7.dns.cnames", &dns.cnames),
        ("l7.dns.qtypes", &dns.qtypes),
        ("l7.dns.rrtypes", &dns.rrtypes),
    ] {
        texts(field, values, MAX_RECORD_TEXT)?;
    }
    Ok(())
}

fn http_record(http: &pb::Http) -> Checked {
    record_text("l7.http.method", &http.method)?;
    record_text("l7.http.url", &http.url)?;
    record_text("l7.http.protocol", &http.protocol)?;
    list("l7.http.headers", http.headers.len())?;
    for header in &http.headers {
        record_text("l7.http.headers.key", &header.key)?;
        record_text("l7.http.headers.value", &header.value)?;
    }
    Ok(())
}

fn record_text(field: &str, value: &str) -> Checked {
    text(field, value, MAX_RECORD_TEXT)
}
