//! `[export]` and `[[export.file]]`: exporters to files, with Hubble's options.

use super::{
    draft::set,
    limits,
    section::Section,
    values::{Parsed, optional_path},
};
use crate::{
    export::{Exports, FileSetting, Selected, check, filters, name, target},
    mask::Mask,
};

/// All exporters.
pub(super) fn export(top: &mut Section<'_>) -> Exports {
    let Some(mut section) = top.section("export") else {
        return Exports::default();
    };
    let files = section.sections("file").into_iter();
    let files: Vec<_> = files.filter_map(file).collect();
    if let Err(error) = check(&files) {
        section.wrong(format!("does not fit: {error}"));
    }
    let flow_logs = section.item("flow_logs").text(optional_path);
    section.finish();
    Exports {
        files,
        flow_logs: flow_logs.flatten(),
    }
}

fn file(mut section: Section<'_>) -> Option<FileSetting> {
    let path = section.required("path").text(target);
    let name = section.item("name").text(name);
    let selected = selected(&mut section);
    let max_mb = section.item("max_size_mb").number(limits::EXPORT_MB);
    let max_backups = section.item("max_backups").number(limits::EXPORT_BACKUPS);
    let compress = section.item("compress").switch();
    section.finish();
    let path = path?;
    let name = name.unwrap_or_else(|| path.to_string_lossy().into_owned());
    let mut file = FileSetting::new(name, path);
    file.selected = selected;
    set(&mut file.max_bytes, max_mb.map(|mb| mb << 20));
    set(&mut file.max_backups, max_backups);
    set(&mut file.compress, compress);
    Some(file)
}

fn selected(section: &mut Section<'_>) -> Selected {
    let mut list = |key| {
        let filters = |text: &str| filters(text).map_err(|error| error.to_string());
        let lists = section.item(key).texts(filters).unwrap_or_default();
        lists.into_iter().flatten().collect()
    };
    Selected {
        allow: list("allow"),
        deny: list("deny"),
        field_mask: section.item("field_mask").texts(field).unwrap_or_default(),
        end: None,
    }
}

fn field(text: &str) -> Parsed<String> {
    match Mask::compile(&[text.to_owned()]) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "`{text}` is no field of flow.Flow; write for example `source.pod_name`"
        )),
    }
}
