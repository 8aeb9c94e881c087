//! The contract's table of reasons is the code's: each reason in order, with
//! its status, gRPC code and class, and an anchor to link to.

use std::fmt::Write as _;
use std::path::Path;

use sluice_event::Reason;
use sluice_event::reason::{Class, GrpcCode};

/// The name of a gRPC code in `google.rpc.Code`.
fn grpc(code: GrpcCode) -> &'static str {
    match code {
        GrpcCode::InvalidArgument => "INVALID_ARGUMENT",
        GrpcCode::DeadlineExceeded => "DEADLINE_EXCEEDED",
        GrpcCode::PermissionDenied => "PERMISSION_DENIED",
        GrpcCode::ResourceExhausted => "RESOURCE_EXHAUSTED",
        GrpcCode::Unimplemented => "UNIMPLEMENTED",
        GrpcCode::Unavailable => "UNAVAILABLE",
        GrpcCode::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The cells of a row that the code decides.
fn row(reason: Reason) -> String {
    let class = match reason.class() {
        Class::Final => "final",
        Class::Passing => "passing",
    };
    let (status, grpc) = (reason.status().as_u16(), grpc(reason.grpc()));
    format!("| <a id=\"{reason}\"></a>`{reason}` | {status} | `{grpc}` | {class} |")
}

#[test]
fn the_contract_lists_every_reason_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk-spec/collect.md");
    let text = std::fs::read_to_string(path).expect("sdk-spec/collect.md");
    let documented: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| <a id=\"")).collect();
    let mut wrong = String::new();
    for (index, reason) in Reason::ALL.iter().enumerate() {
        let wanted = row(*reason);
        let found = documented.get(index).copied().unwrap_or_default();
        let rest = found.strip_prefix(&wanted).unwrap_or_default();
        // What is for people: when it happens, and what the client does.
        let said = rest.split('|').filter(|cell| !cell.trim().is_empty()).count();
        if said != 2 {
            writeln!(wrong, "row {index}: wanted {wanted} … | … |\n       found {found}")
                .expect("text");
        }
    }
    assert!(wrong.is_empty(), "sdk-spec/collect.md differs from the code:\n{wrong}");
    assert_eq!(documented.len(), Reason::ALL.len(), "rows without a reason in the code");
}
