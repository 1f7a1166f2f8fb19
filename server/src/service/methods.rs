//! All methods that the port has, by the descriptors of their files. Not who may call
//! them, which is `roles`. Bound: the files that the build carries.

use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};

/// All services. Each version of reflection has both, since clients ask for each
/// service that is listed.
pub(super) const DESCRIPTORS: [&[u8]; 4] = [
    sextant_proto::DESCRIPTORS,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// Each with its name, `package.Service/Method`.
pub(super) fn all() -> Vec<(String, MethodDescriptorProto)> {
    let mut all = Vec::new();
    for bytes in DESCRIPTORS {
        // The files themselves: all else of them takes megabytes to make.
        let set = FileDescriptorSet::decode(bytes).unwrap_or_default();
        for file in set.file {
            for service in &file.service {
                let service_name = format!("{}.{}", file.package(), service.name());
                let methods = service.method.iter().cloned();
                all.extend(methods.map(|one| (format!("{service_name}/{}", one.name()), one)));
            }
        }
    }
    all
}
