//! Compiles `proto/` with protox (no protoc needed) to message types, a
//! descriptor set for reflection and, with the feature `grpc`, stubs.

use std::{env, fs, path::PathBuf};

use prost::Message as _;
use prost_types::{
    FieldDescriptorProto, FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};
use tonic_prost_build::Builder;

/// `struct.proto` is what flows carry in `extensions`; reflection must know it.
const FILES: [&str; 9] = [
    "flow/flow.proto",
    "observer/observer.proto",
    "peer/peer.proto",
    "relay/relay.proto",
    "sextant/audit/v1/audit_service.proto",
    "sextant/flow/v1/flow_service.proto",
    "sextant/policy/v1/policy_service.proto",
    "sextant/status/v1/status_service.proto",
    "google/protobuf/struct.proto",
];

/// Its messages are the format of documents.
const OF_DOCUMENTS: &str = "sextant/policy/v1/policy_spec.proto";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let path = out.join("descriptors.bin");
    fs::write(&path, descriptors.encode_to_vec())?;
    // For the build scripts of packages that depend on this one.
    println!("cargo:descriptors={}", path.display());
    let stubs = env::var_os("CARGO_FEATURE_GRPC").is_some();
    let builder = tonic_prost_build::configure()
        .build_client(stubs)
        .build_server(stubs);
    with_json(builder, &descriptors).compile_fds(descriptors)?;
    Ok(())
}

/// Gives the messages of `OF_DOCUMENTS` the JSON of the documents that they are: names as
/// the descriptors have them, and nothing that is empty: an empty list means something there.
fn with_json(mut builder: Builder, descriptors: &FileDescriptorSet) -> Builder {
    let mut files = descriptors.file.iter();
    let file = files.find(|file| file.name() == OF_DOCUMENTS);
    for message in file.iter().flat_map(|file| &file.message_type) {
        let path = format!("sextant.policy.v1.{}", message.name());
        builder = builder.type_attribute(
            &path,
            "#[derive(serde::Serialize, serde::Deserialize)] #[serde(default, deny_unknown_fields)]",
        );
        for field in &message.field {
            let (name, is_empty) = (field.json_name(), is_empty(field));
            let json =
                format!("#[serde(rename = \"{name}\", skip_serializing_if = \"{is_empty}\")]");
            builder = builder.field_attribute(format!("{path}.{}", field.name()), json);
        }
    }
    builder.btree_map(".sextant.policy.v1")
}

/// What tells that a field of them is empty.
fn is_empty(field: &FieldDescriptorProto) -> &'static str {
    match (field.label(), field.r#type()) {
        // A map is a list of entries here.
        (Label::Repeated, _) if field.type_name().ends_with("Entry") => {
            "std::collections::BTreeMap::is_empty"
        }
        (Label::Repeated, _) => "Vec::is_empty",
        (_, Type::String) => "String::is_empty",
        _ => "Option::is_none",
    }
}
